import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import { describe, expect, test, vi } from "vitest";
import { atEnd } from "../../test/support/cleanup.js";
import { openHost, PushSource, turns } from "../../test/support/control.js";
import type { Producer } from "../runner/producer.js";
import type { Runner } from "../runner/runner.js";
import type { ActiveSession } from "./active-session.js";
import { defineProcessRunner, defineSequenceRunner } from "./define.js";
import type { ActiveSessionEvents, Logger } from "./events.js";
import type { LimitOptions } from "./limits.js";
import type { RunnerOptions } from "./options.js";

const names = [
  ...(["session.created", "session.ended", "session.cleaned-up", "group.created", "group.ended"] as const),
  ...(["group.cleaned-up", "runner.created", "runner.creation-failed", "runner.started", "runner.final"] as const),
  ...(["runner.cleaned-up", "runner.removed", "limit.reached", "host.closing", "host.closed", "warning"] as const),
] satisfies (keyof ActiveSessionEvents)[];

/** Everything that is told from now on, in order. */
function listen() {
  const told: [string, object][] = [];
  for (const name of names) {
    const listener = (payload: unknown) => void told.push([name, payload as object]);
    subscribe(`active-session:${name}`, listener);
    atEnd(() => void unsubscribe(`active-session:${name}`, listener));
  }
  return told;
}

const quiet: Logger = { warn: () => {} };

describe("the channels tell of", () => {
  test("every step of a session and its runners, with whose it was (parity 219)", async () => {
    const told = listen();
    const host = openHost({ logger: quiet });
    const session = await host.get("ann", "tab");
    const { id, generation } = session;
    expect(session.group.isAvailable).toBe(true);
    const runner = await session.createSequenceRunner(["secret item"]);
    await runner.getRequired({ advance: 1 });
    await runner.cleanup;
    await turns();
    await session.terminate();
    await session.group.cleanup;
    const ofRunner = { runner: `${id}:${generation}#0`, kind: "sequence" };
    const clean = { timedOut: false, errors: [] };
    expect(told).toEqual([
      ["session.created", { session: id, generation, suffix: "tab" }],
      ["group.created", { group: session.group.id }],
      ["runner.created", ofRunner],
      ["runner.started", ofRunner],
      ["runner.final", { ...ofRunner, status: "completed", position: 1, progress: { current: 1, estimatedEnd: 1 } }],
      ["runner.cleaned-up", { ...ofRunner, ...clean }],
      ["session.ended", { session: id, generation, reason: "session-ended", runners: 1 }],
      ["runner.removed", ofRunner],
      ["session.cleaned-up", { session: id, generation, ...clean }],
      ["group.ended", { group: session.group.id }],
      ["group.cleaned-up", { group: session.group.id, ...clean }],
    ]);
    expect(JSON.stringify(told)).not.toMatch(/secret item|ann/);
  });

  test("aborts and failures with their reason, and definitions by name", async () => {
    const told = listen();
    const session = await openHost({ logger: quiet }).get("ann");
    const broken = new Error("broken");
    const failing = defineProcessRunner({ name: "report", run: () => Promise.reject(broken) });
    const failed = await session.createRunner(failing, undefined);
    await failed.getRequired();
    const stopped = await session.createProcessRunner(
      ({ signal }) =>
        new Promise((resolve) => {
          signal.addEventListener("abort", () => resolve(undefined));
        }),
    );
    await stopped.abort();
    const finals = told.filter(([name]) => name === "runner.final").map(([, payload]) => payload);
    expect(finals).toEqual([
      {
        ...{ runner: String(failed.id), kind: "process", definition: "report", status: "failed" },
        ...{ position: 0, progress: { current: 0, estimatedEnd: 0 }, error: broken },
      },
      {
        ...{ runner: String(stopped.id), kind: "process", status: "aborted", reason: "stopped" },
        ...{ position: 0, progress: { current: 0, estimatedEnd: 0 } },
      },
    ]);
  });

  test("creations that fail, limits, and the host's end", async () => {
    const told = listen();
    const host = openHost({ logger: quiet, limits: { runnersPerClient: 1 } });
    const session = await host.get("ann");
    await session.createSequenceRunner([]);
    const refused = await session.createSequenceRunner([]).catch((error: unknown) => error);
    await host.close();
    const { id, generation } = session;
    const events = Object.fromEntries(told);
    expect(events["limit.reached"]).toEqual({ limit: "runnersPerClient", error: refused, session: id });
    expect(events["runner.creation-failed"]).toEqual({ session: id, generation, error: refused });
    expect(events["host.closing"]).toEqual({ sessions: 1 });
    expect(events["host.closed"]).toEqual({ sessions: 1, unfinished: [] });
  });

  const processes = { name: "process", run: async (n: number) => n };
  const sequences = { name: "sequence", run: (n: number) => [n] };

  test.each<[string, LimitOptions, (session: ActiveSession, options: RunnerOptions) => Promise<Runner>]>([
    ["a sequence", { runnersPerClient: 1 }, (session, options) => session.createSequenceRunner([], options)],
    [
      "a time series",
      { runners: 1 },
      (session, options) => session.createTimeSeriesRunner({ gauge: () => 1, interval: 1 }, options),
    ],
    ["a process", { retainedItems: 1 }, (session, options) => session.createProcessRunner(async () => 1, options)],
    [
      "a defined sequence",
      { runners: 1 },
      (session, options) => session.createRunner(defineSequenceRunner(sequences), 1, options),
    ],
    [
      "a defined process",
      { runners: 1 },
      (session, options) => session.createRunner(defineProcessRunner(processes), 1, options),
    ],
  ])(
    "nothing but its failure of %s that a limit refuses: it has never been a runner",
    async (_what, limits, create) => {
      const session = await openHost({ logger: quiet, limits }).get("ann");
      const source = new PushSource<string>();
      await session.createSequenceRunner(source);
      source.push("item");
      await turns();
      const told = listen();
      const broken = new Error("hold");
      const holds = [() => Promise.reject(broken)];
      const error = await create(session, { holds }).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: expect.stringMatching(/_LIMIT_REACHED$/) });
      await turns();
      expect(told.map(([name]) => name)).toEqual(["limit.reached", "warning", "runner.creation-failed"]);
      expect(told[1]?.[1]).toMatchObject({ message: "the clean-up of a failed creation failed", error: broken });
    },
  );

  test("a runner from its creation to its removal, also if its session ends while it is made", async () => {
    const session = await openHost({ logger: quiet }).get("ann");
    const told = listen();
    const produce = (): Producer => {
      void session.terminate();
      const closed = Promise.resolve({ timedOut: false, errors: [] });
      return { closed, start: () => expect.unreachable(), stop: () => {} };
    };
    const creating = session.createRunner(defineSequenceRunner({ name: "ends", produce }), undefined);
    await expect(creating).rejects.toMatchObject({ code: "SESSION_ENDED" });
    const ofRunner = [
      "runner.created",
      "runner.final",
      "runner.removed",
      "runner.cleaned-up",
      "runner.creation-failed",
    ];
    expect(told.map(([name]) => name).filter((name) => name.startsWith("runner."))).toEqual(ofRunner);
  });

  test("a runner that was over before it began only after its creation", async () => {
    const session = await openHost({ logger: quiet }).get("ann");
    const told = listen();
    const closed = Promise.resolve({ timedOut: false, errors: [] });
    const produce = (): Producer => ({ closed, start: async () => {}, stop: () => {} });
    await session.createRunner(defineSequenceRunner({ name: "over", produce }), undefined);
    expect(told[0]?.[0]).toBe("runner.created");
  });

  test("nothing that a listener could break: what it throws is its own uncaught error", async () => {
    const caught: unknown[] = [];
    const listeners = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.once("uncaughtException", (error) => void caught.push(error));
    atEnd(() => {
      process.removeAllListeners("uncaughtException");
      for (const listener of listeners) process.on("uncaughtException", listener);
    });
    const listener = () => {
      throw new Error("listener");
    };
    subscribe("active-session:runner.created", listener);
    atEnd(() => void unsubscribe("active-session:runner.created", listener));
    const session = await openHost().get("ann");
    const runner = await session.createSequenceRunner([1]);
    expect((await runner.getRequired({ advance: 1 })).result).toEqual([1]);
    await turns();
    expect(caught).toEqual([new Error("listener")]);
  });
});

describe("the logger", () => {
  test("is told each kind of event at its level (parity 220)", async () => {
    const lines: string[] = [];
    const at = (level: string) => (_details: object, message: string) => void lines.push(`${level} ${message}`);
    const logger = { error: at("error"), warn: at("warn"), info: at("info"), debug: at("debug") };
    const host = openHost({ logger });
    const session = await host.get("ann");
    const runner = await session.createProcessRunner(() => Promise.reject(new Error("broken")));
    await runner.getRequired();
    await expect(session.createSequenceRunner(5 as never)).rejects.toThrow();
    await host.close();
    expect(lines.map((line) => line.replace("active-session: ", ""))).toEqual([
      "debug a session was created",
      "debug a runner was created",
      "debug a runner was started",
      "error a runner has failed",
      "debug a runner was cleaned up",
      "warn a runner could not be created",
      "info the host is closing",
      "debug a session has ended: shutdown",
      "debug a runner was removed",
      "debug a session was cleaned up",
      "info the host is closed",
    ]);
  });

  test("never makes a result into a text, nor is it given one (parity 99)", async () => {
    const asText = vi.fn(() => "result");
    const result = { secret: "of the user", toString: asText, toJSON: asText, [Symbol.toPrimitive]: asText };
    const told: unknown[] = [];
    const tell = (...details: unknown[]) => void told.push(details);
    const host = openHost({ logger: { error: tell, warn: tell, info: tell, debug: tell } });
    const session = await host.get("ann");
    const process = await session.createProcessRunner<object>(({ report }) => {
      report(result);
      return result;
    });
    const sequence = await session.createSequenceRunner([result]);
    for (const runner of [process, sequence]) await runner.getRequired({ advance: 2 });
    await session.createProcessRunner<object>(({ report }) => {
      report(result);
      throw new Error("broken");
    });
    await host.close();
    expect(inspect(told, { depth: null })).not.toContain("of the user");
    expect(told.length).toBeGreaterThan(10);
    expect(asText).not.toHaveBeenCalled();
  });

  test("need not have more than warn", async () => {
    const warn = vi.fn();
    const session = await openHost({ logger: { warn } }).get("ann");
    await (await session.createProcessRunner(() => Promise.reject(new Error("broken")))).getRequired();
    await session.terminate();
    expect(warn).not.toHaveBeenCalled();
  });

  test.each([{ warn: 5 }, { error: () => {} }, { warn: () => {}, debug: "loud" }, null, "console"])(
    "must have the right shape, which %j has not",
    (logger) => {
      expect(() => openHost({ logger: logger as never })).toThrow(expect.objectContaining({ code: "INVALID_OPTION" }));
    },
  );

  test("may be asynchronous, and fail that way", async () => {
    const logger = { warn: () => {}, debug: () => Promise.reject(new Error("disk full")) };
    const session = await openHost({ logger: logger as Logger }).get("ann");
    await turns();
    expect(session.isAvailable).toBe(true);
  });

  test("without one, the process is warned of failures whatever their cause", async () => {
    const emit = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    const session = await openHost().get("ann");
    await (await session.createProcessRunner(() => Promise.reject({ number: 1n }))).getRequired();
    expect(emit.mock.calls[0]).toEqual([
      "a runner has failed",
      expect.objectContaining({ detail: expect.stringContaining("1n") }),
    ]);
    emit.mockRestore();
  });

  test("without one, the process is warned of work that failed", async () => {
    const emit = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    const session = await openHost().get("ann");
    const runner = await session.createProcessRunner(() => Promise.reject(new Error("broken")));
    await runner.getRequired();
    expect(emit.mock.calls).toEqual([
      ["a runner has failed", { type: "ActiveSessionWarning", detail: expect.stringMatching(/Error: broken/) }],
    ]);
  });
});

test("docs/events.md describes every event, with all that it tells", () => {
  const text = readFileSync(fileURLToPath(new URL("../../docs/events.md", import.meta.url)), "utf8");
  const described = [...text.matchAll(/^\| `([a-z.-]+)` \|/gm)].map(([, name]) => name);
  expect(described.sort()).toEqual([...names].sort());
});
