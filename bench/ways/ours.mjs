// A runner for each response, read by the library's routes. `aheadLimit` is 20,000, so that a whole job fits without an acknowledgement.
import { library } from "../lib/library.mjs";
import { produce } from "./produce.mjs";

const { createActiveSessions } = await library("index");
const { activeSession, runnerRouter } = await library("node");

const many = Number.POSITIVE_INFINITY;
const sessions = createActiveSessions({
  idleTimeout: many,
  limits: { runners: many, runnersPerClient: many, openReads: many, openReadsPerClient: many, retainedItems: many },
});
const arrive = activeSession(sessions, { identify: () => "ann" });
const serveRunners = runnerRouter(sessions);

export async function one(request, response, wanted) {
  const { activeSession: session } = await arrive(request, response);
  const runner = await session.createSequenceRunner(() => produce(wanted), { aheadLimit: 20_000 });
  await stream(request, response, runner);
  await runner.dispose();
}

let common;
let beginWith;

/** One more reader of what is common to all. */
export async function all(request, response) {
  const { activeSession: session } = await arrive(request, response);
  common ??= session.createSequenceRunner(makeCommon, { aheadLimit: 20_000 });
  await stream(request, response, await common);
}

async function* makeCommon() {
  const count = await new Promise((resolve) => {
    beginWith = resolve;
  });
  yield* produce({ count });
}

export async function begin(count) {
  const runner = await common;
  beginWith(count);
  await runner.cleanup;
  common = undefined;
}

async function stream(request, response, { key }) {
  request.url = `/runners/${key}?offset=0&live=sse`;
  await serveRunners(request, response);
}
