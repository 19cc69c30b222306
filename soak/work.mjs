// What runs in the server of the soak: item `i` of the runner with the seed `s` is a function of both, so that a client can
// check by itself whether it is the right one.
import { defineProcessRunner, defineSequenceRunner } from "../dist/index.js";

/** How many sources are open: each one that was opened must be closed. */
export const sources = { open: 0, opened: 0 };

/** What stands at a position. */
export function valueAt(seed, position) {
  let value = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(position + 1, 0xc2b2ae35);
  value = Math.imul(value ^ (value >>> 15), 0x2c1b3c6d);
  return (value ^ (value >>> 13)) >>> 0;
}

/** The text of a big item: what a connection holds must be little beside what there is for a slow reader. */
export function textAt(seed, position) {
  return `${valueAt(seed, position)} `.repeat(10_000);
}

const itemAt = (seed, i) => ({ i, v: valueAt(seed, i) });
/** Big on its way only: what is kept of it for its readers is little. */
const bigItemAt = (seed, i) => ({ toJSON: () => ({ ...itemAt(seed, i), text: textAt(seed, i) }) });

/** Comes early when the signal fires: a source that sleeps could not be closed. */
function pause(ms, signal) {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const settle = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", settle);
      resolve();
    };
    const timer = setTimeout(settle, ms);
    signal.addEventListener("abort", settle);
  });
}

/** The input of every definition: `seed`, `count` items, `every` so many ms. */
const input = {
  "~standard": {
    version: 1,
    vendor: "soak",
    validate: (value) => {
      const { seed, count = Number.POSITIVE_INFINITY, every = 0 } = Object(value);
      const fits = Number.isSafeInteger(seed) && typeof count === "number" && typeof every === "number";
      return fits ? { value: { seed, count, every } } : { issues: [{ message: "the seed must be an integer" }] };
    },
  },
};

/** A source that is counted as long as it is open. */
function counted(make) {
  return async function* (given, context) {
    sources.open++;
    sources.opened++;
    try {
      yield* make(given, context);
    } finally {
      sources.open--;
    }
  };
}

function* fast({ seed, count }) {
  for (let i = 0; i < count; i++) yield itemAt(seed, i);
}

async function* paced({ seed, count, every }, { signal }) {
  for (let i = 0; i < count && !signal.aborted; i++) {
    yield itemAt(seed, i);
    await pause(every, signal);
  }
}

async function* bursts({ seed, count, every }, { signal }) {
  for (let i = 0; i < count && !signal.aborted; i++) {
    yield itemAt(seed, i);
    if (i % 50 === 49) await pause(every, signal);
  }
}

function* big({ seed, count }) {
  for (let i = 0; i < count; i++) yield bigItemAt(seed, i);
}

function* failing({ seed, count }) {
  yield* fast({ seed, count });
  throw Object.assign(new Error(`after ${count}`), { expose: true });
}

/** What comes last has no JSON form. */
function* formless({ seed, count }) {
  yield* fast({ seed, count });
  yield 1n;
}

async function tally({ seed, count, every }, { report, signal }) {
  sources.open++;
  sources.opened++;
  try {
    for (let i = 0; i < count && !signal.aborted; i++) {
      report(itemAt(seed, i), count);
      await pause(every, signal);
    }
    return { i: count, v: valueAt(seed, count) };
  } finally {
    sources.open--;
  }
}

const sequence = (name, make, options) => defineSequenceRunner({ name, input, run: counted(make), options });

export const definitions = [
  sequence("fast", fast),
  sequence("paced", paced),
  sequence("bursts", bursts),
  sequence("big", big, { aheadLimit: 80, defaultAdvance: 2, idleTimeout: 30_000 }),
  sequence("failing", failing),
  sequence("formless", formless),
  sequence("kept", paced, { retain: "all" }),
  defineProcessRunner({ name: "tally", input, run: tally }),
];
