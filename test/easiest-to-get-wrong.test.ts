/** The fifteen behaviours that are easiest to get wrong; the design's changes included. */
import { describe, expect, test, vi } from "vitest";
import { createDeferred } from "../src/base/async.js";
import { RequestSession } from "../src/http/client-identity.js";
import { scopeSelector } from "../src/http/scopes.js";
import type { ProcessContext } from "../src/runner/process-producer.js";
import type { RunnerOptions } from "../src/session/options.js";
import { atEnd } from "./support/cleanup.js";
import { isPending, openHost, PushSource, turns } from "./support/control.js";

/** A web stream of these items. */
function streamOf<T>(items: readonly T[]): ReadableStream<T> {
  const rest = [...items];
  return new ReadableStream<T>({
    pull(controller) {
      if (rest.length === 0) controller.close();
      else controller.enqueue(rest.shift() as T);
    },
  });
}

async function openSequence(options: RunnerOptions = {}) {
  const session = await openHost().get("user");
  const source = new PushSource<number>();
  const runner = await session.createSequenceRunner(source, options);
  const give = async (...items: number[]) => {
    source.push(...items);
    await turns();
  };
  return { runner, source, give };
}

async function openProcess(options: RunnerOptions = {}) {
  const session = await openHost().get("user");
  const end = createDeferred<string | undefined>();
  atEnd(() => end.resolve(undefined));
  let context!: ProcessContext<string>;
  const runner = await session.createProcessRunner<string>((given) => {
    context = given as ProcessContext<string>;
    return end.promise;
  }, options);
  return { runner, end, report: context.report, context };
}

describe("1: a pending getRequired resolves with the data so far, and rejects only when it is cancelled itself (#32, #35)", () => {
  test.each(["abort", "end", "failure", "disposal", "end of the session"])("%s", async (how) => {
    const session = await openHost().get("user");
    const source = new PushSource<number>();
    const runner = await session.createSequenceRunner(source);
    const reading = runner.getRequired({ advance: 9 });
    source.push(0, 1);
    await turns();
    if (how === "abort") await runner.abort();
    if (how === "end") source.end();
    if (how === "failure") source.fail(new Error("broken"));
    if (how === "disposal") await runner[Symbol.asyncDispose]();
    if (how === "end of the session") await session.terminate();
    const status = how === "end" ? "completed" : how === "failure" ? "failed" : "aborted";
    expect(await reading).toMatchObject({ result: [0, 1], status, position: 2 });
  });

  test("its own cancellation", async () => {
    const { runner } = await openSequence();
    const controller = new AbortController();
    const reading = runner.getRequired({ signal: controller.signal });
    controller.abort("mine");
    await expect(reading).rejects.toBe("mine");
  });
});

describe("2: a final status comes with the last data and only then; an abort comes at once", () => {
  test("completed (#8, #30)", async () => {
    const { runner, source, give } = await openSequence();
    await give(0, 1, 2);
    source.end();
    await turns();
    expect([runner.status, runner.isBackgroundCompleted]).toEqual(["progressed", true]);
    expect(await runner.getAvailable({ advance: 2 })).toEqual({ result: [0, 1], status: "progressed", position: 2 });
    expect([runner.status, runner.signal.aborted]).toEqual(["progressed", false]);
    expect(await runner.getAvailable()).toEqual({ result: [2], status: "completed", position: 3 });
    expect([runner.status, runner.signal.aborted]).toEqual(["completed", true]);
  });

  test("failed: its last slice still carries items (#8, #31)", async () => {
    const { runner, source, give } = await openSequence();
    await give(0, 1, 2);
    source.fail(new Error("broken"));
    await turns();
    expect((await runner.getAvailable({ advance: 2 })).error).toBeUndefined();
    expect([runner.status, runner.error]).toEqual(["progressed", undefined]);
    expect(await runner.getAvailable()).toMatchObject({
      result: [2],
      status: "failed",
      error: { code: "RUNNER_FAILED" },
    });
  });

  test("aborted: what was not handed out is dropped at once (#8, #34)", async () => {
    const { runner, give } = await openSequence();
    await give(0, 1, 2);
    await runner.abort();
    expect(await runner.getAvailable()).toEqual({ result: [], status: "aborted", position: 0 });
    expect(runner.retained).toBe(0);
  });
});

describe("3: a cancelled getRequired loses nothing", () => {
  test("what it had gathered is served first, whole or in parts (#40, #41)", async () => {
    const { runner, give } = await openSequence();
    const controller = new AbortController();
    const reading = runner.getRequired({ advance: 9, signal: controller.signal });
    await give(0, 1, 2);
    controller.abort("x");
    await expect(reading).rejects.toBe("x");
    await give(3);
    expect((await runner.getRequired({ advance: 2 })).result).toEqual([0, 1]);
    expect((await runner.getAvailable()).result).toEqual([2, 3]);
  });

  test("the final status waits until that too has been handed out (#42)", async () => {
    const { runner, source, give } = await openSequence();
    const controller = new AbortController();
    const reading = runner.getRequired({ advance: 9, signal: controller.signal });
    await give(0, 1, 2);
    controller.abort("x");
    await expect(reading).rejects.toBe("x");
    source.end();
    await turns();
    expect(await runner.getRequired({ advance: 1 })).toEqual({ result: [0], status: "progressed", position: 1 });
    expect(await runner.getRequired({ advance: 9 })).toEqual({ result: [1, 2], status: "completed", position: 3 });
  });

  test("cancelled before any item came, it leaves the runner stalled (#43)", async () => {
    const { runner } = await openSequence();
    const controller = new AbortController();
    const reading = runner.getRequired({ signal: controller.signal });
    await turns();
    controller.abort("x");
    await expect(reading).rejects.toBe("x");
    expect(runner.status).toBe("stalled");
  });
});

describe("4: stalled and progressed say whether there is anything to read, not whether the background runs", () => {
  test("of a sequence (#29, #36)", async () => {
    const { runner, source, give } = await openSequence();
    expect(runner.status).toBe("stalled");
    await give(0, 1);
    expect(runner.status).toBe("progressed");
    await runner.getAvailable();
    expect(runner.status).toBe("stalled");
    await give(2);
    source.end();
    await turns();
    expect([runner.status, runner.isBackgroundCompleted]).toEqual(["progressed", true]);
  });

  test("of a process, also after its end (#85)", async () => {
    const { runner, end, report } = await openProcess();
    report("a");
    expect(runner.status).toBe("progressed");
    await runner.getAvailable();
    expect(runner.status).toBe("stalled");
    end.resolve("final");
    await turns();
    expect([runner.status, runner.isBackgroundCompleted]).toEqual(["progressed", true]);
  });
});

describe("5: advance 0", () => {
  test("is the default page for both methods of a sequence (#1, #21)", async () => {
    const { runner, give } = await openSequence({ defaultAdvance: 2 });
    await give(0, 1, 2, 3, 4);
    expect((await runner.getAvailable({ advance: 0 })).result).toEqual([0, 1]);
    expect((await runner.getRequired({ advance: 0 })).result).toEqual([2, 3]);
  });

  test("is 1 for a process at its default position (#77)", async () => {
    const { runner, report } = await openProcess();
    const reading = runner.getRequired({ advance: 0 });
    expect(await isPending(reading)).toBe(true);
    report("a");
    expect((await reading).position).toBe(1);
  });

  test("is this very point for a process with a start, and returns at once (#78)", async () => {
    const { runner, report } = await openProcess();
    expect(await runner.getRequired({ start: 0, advance: 0 })).toEqual({
      result: undefined,
      status: "stalled",
      position: 0,
    });
    report("a");
    report("b");
    expect((await runner.getRequired({ start: 1, advance: 0 })).position).toBe(1);
  });
});

describe("6: getAvailable never starts a runner, getRequired does", () => {
  test("and a start that failed can be tried again, with the way free (#9, #23, #25)", async () => {
    const session = await openHost().get("user");
    let tries = 0;
    const runner = await session.createSequenceRunner<number>(
      () => {
        if (++tries === 1) throw new Error("not yet");
        return [0, 1];
      },
      { start: "on-first-read" },
    );
    await runner.getAvailable();
    expect(tries).toBe(0);
    await expect(runner.getRequired()).rejects.toMatchObject({ code: "RUNNER_START_FAILED" });
    expect(runner.status).toBe("not-started");
    expect(await runner.getRequired()).toEqual({ result: [0, 1], status: "completed", position: 2 });
    expect(tries).toBe(2);
  });
});

describe("7: the ahead limit counts what is not acknowledged; a pending read raises it", () => {
  test("a read larger than the limit is served (#28)", async () => {
    const session = await openHost().get("user");
    const items = Array.from({ length: 30 }, (_, i) => i);
    const runner = await session.createSequenceRunner(items, { aheadLimit: 3 });
    expect(await runner.getRequired({ advance: 30 })).toEqual({ result: items, status: "completed", position: 30 });
  });

  test("a reader that goes on from page to page is never stuck", async () => {
    const session = await openHost().get("user");
    const items = Array.from({ length: 30 }, (_, i) => i);
    const runner = await session.createSequenceRunner(items, { aheadLimit: 1 });
    const seen: number[] = [];
    for (let page = await runner.getRequired({ advance: 7 }); ; page = await runner.getRequired({ advance: 7 })) {
      seen.push(...page.result);
      if (page.status === "completed") break;
    }
    expect(seen).toEqual(items);
  });

  test("what was handed out counts until it is acknowledged (#45; design §5 rule 4)", async () => {
    const { runner, give } = await openSequence({ aheadLimit: 2 });
    await give(0, 1, 2, 3, 4);
    await runner.getAvailable();
    await turns();
    expect(runner.progress.current).toBe(2);
    await runner.getAvailable(); // goes on at 2, which says that 0 and 1 have arrived
    await turns();
    expect(runner.progress.current).toBe(4);
  });

  test("an abort frees a blocked producer", async () => {
    const { runner, source, give } = await openSequence({ aheadLimit: 1 });
    await give(0, 1);
    expect(runner.progress.current).toBe(1);
    await runner.abort();
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
    expect(source.returns).toBe(1);
  });
});

describe("8: as many items as exist end as completed, whatever the timing", () => {
  test.each([0, 1, 2, 5, 20])("%i items of each kind of source (#37, #38)", async (count) => {
    const items = Array.from({ length: count }, (_, i) => i);
    const session = await openHost().get("user");
    async function* generate() {
      for (const item of items) yield item;
    }
    const sources = [items, generate(), streamOf(items), () => items, async () => generate()];
    for (const source of sources) {
      const runner = await session.createSequenceRunner<number>(source);
      const result = await runner.getRequired({ advance: Math.max(1, count) });
      expect(result).toEqual({ result: items, status: "completed", position: count });
      expect(runner.status).toBe("completed");
    }
  });

  test("also when all items had been there before the read", async () => {
    const { runner, source, give } = await openSequence();
    await give(0, 1);
    const reading = runner.getRequired({ advance: 2 });
    source.end();
    expect((await reading).status).toBe("completed");
  });

  test("an end that comes after the turn needs no empty read (#37)", async () => {
    const { runner, source, give } = await openSequence();
    await give(0, 1);
    expect((await runner.getRequired({ advance: 2 })).status).toBe("stalled");
    source.end();
    await turns();
    expect([runner.status, runner.signal.aborted]).toEqual(["completed", true]);
  });
});

describe("9: a waiter at a process gets the moment at which its target was reached", () => {
  test("while the runner has moved on (#3, #81)", async () => {
    const { runner, report } = await openProcess();
    const waiting = runner.getRequired({ advance: 2 });
    report("a");
    report("b");
    report("c");
    expect(runner.status).toBe("progressed");
    expect(await waiting).toEqual({ result: "b", status: "stalled", position: 2 });
  });

  test("an earlier point asked later gets the newest result with the older position", async () => {
    const { runner, report } = await openProcess();
    for (const value of ["a", "b", "c"]) report(value);
    expect(await runner.getRequired({ start: 0 })).toEqual({ result: "c", status: "progressed", position: 1 });
  });
});

describe("10: a normal end of a process is one more point, failure and abort are not", () => {
  test.each(["end", "failure", "abort"] as const)(
    "%s; the estimated end becomes the progress (#75, #86, #88)",
    async (how) => {
      const { runner, end, report } = await openProcess();
      report("a", 50);
      report("b", 50);
      if (how === "end") end.resolve("final");
      if (how === "failure") end.reject(new Error("broken"));
      if (how === "abort") await runner.abort();
      await turns();
      const current = how === "end" ? 3 : 2;
      expect(runner.progress).toEqual({ current, estimatedEnd: current });
      expect((await runner.getAvailable()).position).toBe(current);
    },
  );
});

describe("11: aborted only when the runner's own signal fired", () => {
  const cancellations = [
    new DOMException("This operation was aborted", "AbortError"),
    AbortSignal.abort().reason,
    Object.assign(new Error("cancelled"), { code: "ABORT_ERR", name: "AbortError" }),
  ];

  test.each(cancellations)(
    "a body that throws a cancellation of its own has failed: %s (#88; design §5 rule 6)",
    async (cause) => {
      const { runner, end } = await openProcess();
      end.reject(cause);
      const { status, error } = await runner.getRequired();
      expect([status, error?.code, error?.cause]).toEqual(["failed", "RUNNER_FAILED", cause]);
    },
  );

  test.each(cancellations)("a source that throws one has failed: %s (#54)", async (cause) => {
    for (const source of [asynchronous(), synchronous()]) {
      const session = await openHost().get("user");
      const runner = await session.createSequenceRunner<number>(source);
      expect(await runner.getRequired({ advance: 5 })).toMatchObject({ result: [0], status: "failed" });
      expect(runner.abortReason).toBeUndefined();
    }
    async function* asynchronous() {
      yield 0;
      throw cause;
    }
    function* synchronous() {
      yield 0;
      throw cause;
    }
  });

  test("report throws the signal's reason after an abort, and the runner stays aborted (#87)", async () => {
    const { runner, end, report, context } = await openProcess();
    await runner.abort();
    let thrown: unknown;
    try {
      report("late");
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBe(context.signal.reason);
    expect(thrown).toMatchObject({ code: "RUNNER_ABORTED" });
    end.reject(thrown);
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
    expect(runner.status).toBe("aborted");
  });
});

describe("12: a generation is larger than every one before it of the same client", () => {
  test("after termination, after idling out, and within one millisecond (#116, #117)", async () => {
    vi.useFakeTimers({ now: 1_000_000 });
    const sessions = openHost({ idleTimeout: 1000 });
    const generations: number[] = [];
    for (const end of ["terminate", "idle out", "terminate", "terminate"]) {
      const session = await sessions.get("ann");
      generations.push(session.generation);
      if (end === "terminate") void session.terminate();
      else await vi.advanceTimersByTimeAsync(1000);
      expect(session.isAvailable).toBe(false);
    }
    expect(generations).toEqual([1_000_000, 1_000_001, 1_001_000, 1_001_001]);
  });

  test("also when the clock goes back, and for a host that has just been made", async () => {
    vi.useFakeTimers({ now: 2_000_000 });
    const sessions = openHost();
    const { generation } = await sessions.get("ann");
    vi.setSystemTime(1_000_000);
    expect((await sessions.get("bob")).generation).toBe(generation + 1);
    vi.setSystemTime(3_000_000);
    expect((await openHost().get("ann")).generation).toBe(3_000_000);
  });
});

describe("13: a group lives as long as a session of it, or a request that holds it", () => {
  /** A request of Ann's, and what ends it. */
  function openRequest(sessions: ReturnType<typeof openHost>) {
    const over: (() => void)[] = [];
    const port = {
      path: "/",
      isSecure: false,
      cookies: undefined,
      connection: undefined,
      headersSent: false,
      setCookie: () => {},
      forbidSharing: () => {},
      onOver: (callback: () => void) => void over.push(callback),
      signal: new AbortController().signal,
      frameworkSession: undefined,
    };
    const request = new RequestSession(
      { sessions, identify: () => "ann", hasGuests: true, cookies: {} as never },
      {},
      port,
      "ann",
      {
        suffix: undefined,
      },
    );
    return { request, end: () => over.splice(0).forEach((callback) => void callback()) };
  }

  test("a terminated session's group lives until the request ends; refresh keeps the balance (#124, #182)", async () => {
    const sessions = openHost();
    const { request, end } = openRequest(sessions);
    const { group } = request.session;
    await request.session.terminate();
    await turns();
    expect(group.isAvailable).toBe(true);
    group.properties.set("still", "there");
    expect(request.refresh()).toBe(true);
    expect(request.session.group).toBe(group); // the next session has joined it
    await request.session.terminate();
    await turns();
    expect(group.isAvailable).toBe(true);
    end();
    await group.cleanup;
    expect(group.isAvailable).toBe(false);
    expect((await sessions.get("ann")).group).not.toBe(group);
  });

  test("the host's end does not wait for a request that holds one: the group ends with it", async () => {
    const disposed = vi.fn();
    const sessions = openHost({ groupServices: () => ({ [Symbol.dispose]: disposed }) });
    const { request, end } = openRequest(sessions);
    const { group } = request.session;
    expect(group.services).toBeDefined();
    expect(await sessions.close()).toEqual({ sessions: 1, unfinished: [], errors: [] });
    expect([group.isAvailable, disposed.mock.calls.length]).toEqual([false, 1]);
    end();
    await turns();
    expect(disposed).toHaveBeenCalledTimes(1);
  });

  test("a session that lives on keeps it, whatever else has ended", async () => {
    const sessions = openHost();
    const [plain, other] = [await sessions.get("ann"), await sessions.get("ann", "other")];
    const { group } = plain;
    await plain.terminate();
    await turns();
    expect([group.isAvailable, [...group.sessions()]]).toEqual([true, [other]]);
    await other.terminate();
    await group.cleanup;
  });
});

describe("14: the first accepting scope with a suffix decides, not the first accepting one", () => {
  test("the empty text ends the search and means none; without an accepting scope there is none (#171, #172)", async () => {
    const asked: string[] = [];
    const scope = (name: string, answer: unknown) => ({
      when: () => {
        asked.push(name);
        return answer;
      },
    });
    const select = async (...scopes: Parameters<typeof scopeSelector>[0] & object) => {
      asked.length = 0;
      return [await scopeSelector(scopes)({}, "/", () => {}), [...asked]];
    };
    const [accepts, refuses, gives, givesNone] = [
      ...[scope("accepts", true), scope("refuses", false), scope("gives", "a"), scope("givesNone", "")],
    ] as const;
    expect(await select(accepts, refuses, gives, givesNone)).toEqual([
      { suffix: "a" },
      ["accepts", "refuses", "gives"],
    ]);
    expect(await select(accepts, givesNone, gives)).toEqual([{ suffix: undefined }, ["accepts", "givesNone"]]);
    expect(await select(refuses)).toEqual([undefined, ["refuses"]]);
    expect(await select({ when: "/" }, { when: "/" })).toEqual([{ suffix: undefined }, []]);
  });
});

describe("15: a session ends in one order", () => {
  test("abort, signal, clean-up of runners, holds, own resources in reverse, services, clean-up (#137, #138, #153)", async () => {
    const order: string[] = [];
    const gate = createDeferred();
    const sessions = openHost({ services: () => ({ [Symbol.dispose]: () => void order.push("services") }) });
    const session = await sessions.get("ann");
    expect(session.services).toBeDefined();
    session.own(() => void order.push("owned first"));
    session.own(() => void order.push("owned second"));
    session.signal.addEventListener("abort", () => void order.push("signal"));
    const lock = (await session.lock("one"))!;
    const waiting = session.lock("one").catch(({ code }) => void order.push(`waiting lock: ${code}`));
    const runner = await session.createProcessRunner(
      async ({ signal }) => {
        signal.addEventListener("abort", () => void order.push("abort"));
        await gate.promise;
        order.push("work has ended");
      },
      { holds: [() => void order.push("holds"), lock] },
    );
    void session.terminate().then(() => order.push("cleaned up"));
    await waiting;
    await turns();
    expect(order).toEqual(["abort", "signal", "waiting lock: SESSION_ENDED"]);
    expect([runner.status, session.isAvailable]).toEqual(["aborted", false]);
    gate.resolve();
    await session.cleanup;
    await turns();
    expect(order.slice(3)).toEqual([
      ...["work has ended", "holds", "owned second", "owned first", "services", "cleaned up"],
    ]);
  });
});
