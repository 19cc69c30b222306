// Items from an async iterable through the log to a reader of a hundred at a time, against the bare loop over the same source.
import { answerAll, ratePerCpuSecond } from "../lib/answer.mjs";
import { library } from "../lib/library.mjs";

const { createActiveSessions } = await library("index");

const sessions = createActiveSessions({
  limits: { runners: 2000, runnersPerClient: 2000, openReads: 5000, openReadsPerClient: 5000, retainedItems: 1e7 },
});
const itemsOfOne = 300_000;
const runners = 1000;
/** In one measurement. */
const fewestItems = 200_000;

async function* numbers(count) {
  for (let n = 0; n < count; n++) yield n;
}

/** A server is never without runners; in a process without any, each full collection would throw away the code that was optimised for them. */
async function* waits() {
  yield* numbers(100);
  await new Promise(() => {});
}
const resident = await (await sessions.get("resident")).createSequenceRunner(waits);
await resident.getRequired({ advance: 100 });
void resident.getRequired({ advance: 100 });

async function loop(count) {
  let taken = 0;
  for await (const _ of numbers(count)) taken++;
  if (taken !== count) throw new Error(`${taken} of ${count}`);
}

async function read(session, count) {
  const runner = await session.createSequenceRunner(() => numbers(count));
  let taken = 0;
  for (;;) {
    const { result, status } = await runner.getRequired({ advance: 100 });
    taken += result.length;
    if (status === "completed") break;
  }
  if (taken !== count) throw new Error(`${taken} of ${count}`);
}

/** Does something within a session that is new, and ends it. */
async function inSession(act) {
  const session = await sessions.get("bench");
  await act(session);
  await session.terminate();
  await session.cleanup;
}

/** Many runners at once, each with as many items. */
function together(act) {
  return Promise.all(Array.from({ length: runners }, act));
}

/**
 * Does it several times: a measurement in which the heap is scavenged once would tell only whether that comes while all runners are
 * alive, or when most have gone.
 */
function repeated(items, act) {
  const times = Math.ceil(fewestItems / (runners * items));
  return ratePerCpuSecond(times * runners * items, async () => {
    for (let i = 0; i < times; i++) await act();
  });
}

function ofMany(question, items) {
  return {
    [question]: () => repeated(items, () => inSession((session) => together(() => read(session, items)))),
    [`${question}:floor`]: () => repeated(items, () => together(() => loop(items))),
  };
}

/** V8 fits the size of objects after the first ones of a class, and throws away the code it had optimised for them: no server stays there. */
for (let i = 0; i < 20; i++) await inSession((session) => read(session, 100));

answerAll({
  one: () => ratePerCpuSecond(itemsOfOne, () => inSession((session) => read(session, itemsOfOne))),
  "one:floor": () => ratePerCpuSecond(itemsOfOne, () => loop(itemsOfOne)),
  ...ofMany("many", 1000),
  ...ofMany("hundred", 100),
  ...ofMany("ten", 10),
});
