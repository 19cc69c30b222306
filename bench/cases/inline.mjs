// What is measured within one process: the log, idle sessions, busy sources, a million sessions.
import { start } from "../lib/child.mjs";

/** Opens sides that are questions to a child: `ours` asks `question`, `floor` asks `question:floor`. */
function opener(file, question) {
  return async (side, dist) => {
    const child = await start(file, { dist });
    const asked = side === "ours" ? question : `${question}:${side}`;
    return { measure: async () => (await child.ask(asked)).answer, stop: () => child.stop() };
  };
}

const log = [
  { question: "one", items: "one runner of 300,000 items", atLeast: 0.85 },
  { question: "many", items: "1,000 runners of 1,000 items at once", atLeast: 0.8 },
  { question: "hundred", items: "1,000 runners of 100 items at once", why: "short runners: not decided yet" },
  { question: "ten", items: "1,000 runners of 10 items at once", why: "short runners: not decided yet" },
];

const sessions = [
  {
    question: "bytes",
    name: "heap of an idle session, bytes",
    beside: "a bare object in a table and a list",
    atMost: 1.5,
  },
  { question: "time", name: "making one of 200,000 sessions, µs", beside: "the bare objects", atMost: 2 },
  { question: "get", name: "get of a live session with its touch, per µs", beside: "the bare lookup", atLeast: 0.67 },
];

export const group = "inline";

export const cases = [
  {
    name: "busy",
    ours: ["ours"],
    open: opener("inline/busy.mjs", "delay"),
    rounds: 1,
    warmUp: "none",
    figures: [{ name: "8 CPU-bound synchronous sources: event-loop delay, p99, ms", of: "ours", atMost: 20 }],
  },
  ...log.map(({ question, items, ...goal }) => ({
    name: `log-${question}`,
    ours: ["ours"],
    open: opener("inline/log.mjs", question),
    rounds: 5,
    warmUp: 1000,
    figures: [
      {
        ...{ name: `${items}, from creation to clean-up, read by pages of 100, items/CPU s`, beside: "bare for await" },
        ...{ of: "ours", against: "floor", ...goal },
      },
    ],
  })),
  ...sessions.map(({ question, name, beside, ...goal }) => ({
    name: `session-${question}`,
    ours: ["ours"],
    open: opener("inline/sessions.mjs", question),
    rounds: 2,
    warmUp: 1000,
    figures: [{ name, beside, of: "ours", against: "floor", ...goal }],
  })),
  {
    name: "million",
    ours: ["ours"],
    open: opener("inline/million.mjs", "million"),
    rounds: 1,
    warmUp: "none",
    figures: [
      { name: "a million idle sessions: RSS, MiB", of: "ours", value: "memory", atMost: 400 },
      { name: "a million sessions expire: longest event-loop delay, ms", of: "ours", value: "stall", atMost: 20 },
      { name: "a million sessions expire: how late the latest ends, ms", of: "ours", value: "latest", atMost: 1000 },
    ],
  },
];
