/** What an application writes must compile, with the types it expects; `npm run types` is what fails if it does not. */
import type { Request } from "express";
import { expectTypeOf, test } from "vitest";
import { createClient } from "../src/client.js";
import type {} from "../src/express.js";
import { createActiveSessions, type ProcessRunner, type RunnerOptions, type SequenceRunner } from "../src/index.js";
import { atEnd } from "./support/cleanup.js";

declare global {
  namespace Express {
    interface ActiveSessionServices {
      readonly db: string;
    }
  }
}

function open() {
  const sessions = createActiveSessions({ services: (session) => ({ db: session.id }) });
  atEnd(() => sessions.close());
  return sessions.get("user");
}

test("items of a sequence have the type of what the source yields, with and without a context", async () => {
  const session = await open();
  const plain = await session.createSequenceRunner([1, 2]);
  const generator = await session.createSequenceRunner(async function* () {
    yield "text";
  });
  const withContext = await session.createSequenceRunner(async function* ({ signal, services }) {
    if (!signal.aborted) yield services.db;
  });
  const stream = await session.createSequenceRunner(() => new ReadableStream<Date>({ start: (c) => c.close() }));
  const later = await session.createSequenceRunner(async () => new Set([true]));
  expectTypeOf(plain).toEqualTypeOf<SequenceRunner<number>>();
  expectTypeOf(generator).toEqualTypeOf<SequenceRunner<string>>();
  expectTypeOf(withContext).toEqualTypeOf<SequenceRunner<string>>();
  expectTypeOf(stream).toEqualTypeOf<SequenceRunner<Date>>();
  expectTypeOf(later).toEqualTypeOf<SequenceRunner<boolean>>();
  expectTypeOf((await plain.getRequired()).result).toEqualTypeOf<number[]>();
});

test("the value of a process has the type of what the body returns or yields", async () => {
  const session = await open();
  const returns = await session.createProcessRunner(async (context) => {
    context.report(1, 2);
    return context.services.db.length;
  });
  const yields = await session.createProcessRunner(async function* (context) {
    if (!context.signal.aborted) yield 1;
    return 2;
  });
  const reportsOnly = await session.createProcessRunner<number>(async ({ report }) => {
    report(1);
  });
  expectTypeOf(returns).toEqualTypeOf<ProcessRunner<number>>();
  expectTypeOf((await yields.getRequired()).result).toEqualTypeOf<number | undefined>();
  expectTypeOf(reportsOnly).toEqualTypeOf<ProcessRunner<number>>();
});

test("options may be given as undefined, and a session knows its services", async () => {
  const session = await open();
  const signal = undefined as AbortSignal | undefined;
  const options: RunnerOptions = { signal, retain: undefined, holds: undefined };
  const runner = await session.createTimeSeriesRunner({ gauge: async () => 1, interval: 5, count: 1 }, options);
  await runner.getRequired({ advance: undefined, signal });
  expectTypeOf(session.services.db).toEqualTypeOf<string>();
  expectTypeOf<Request["activeSession"]["services"]["db"]>().toEqualTypeOf<string>();
  expectTypeOf(await session.findSequenceRunner<Date>(0)).toEqualTypeOf<SequenceRunner<Date> | undefined>();
});

test("a client's items have the type that it names", () => {
  const follower = createClient("http://localhost/runners").follow<{ line: number }>("0-1-x");
  expectTypeOf(follower[Symbol.asyncIterator]).returns.toExtend<AsyncIterator<{ line: number }>>();
});
