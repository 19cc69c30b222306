import { afterEach, describe, expect, it, vi } from "vitest";
import { openHost } from "../../test/support/control.js";
import type { ActiveSession } from "./active-session.js";
import { createActiveSessions } from "./host.js";
import { type ActiveSessionsOptions, type RunnerOptions, resolveOptions } from "./options.js";

afterEach(() => {
  vi.restoreAllMocks();
});

const invalidOption = (name: string) =>
  expect.objectContaining({
    code: "INVALID_OPTION",
    status: 500,
    message: expect.stringMatching(new RegExp(`^Cannot create .+: .*${name}.* must be .+, received .*[^.]$`)),
  });

const notDurations = [0, -1, Number.NaN, Number.NEGATIVE_INFINITY, "5000", null, {}, true, 5n];
const notCounts = [0, -1, 1.5, Number.NaN, Number.NEGATIVE_INFINITY, 2 ** 53, "20", null, {}, true, 5n];
const notRetains = [-1, 1.5, Number.NaN, "unacknowledge", "", "5", null, {}, true, Number.NEGATIVE_INFINITY];

function rows(table: Record<string, readonly unknown[]>): [string, unknown][] {
  return Object.entries(table).flatMap(([name, values]) => values.map((value): [string, unknown] => [name, value]));
}

describe("the options of createActiveSessions", () => {
  it("all have the documented defaults (parity 216)", () => {
    const { secret, ...rest } = resolveOptions({});
    expect(rest).toEqual({
      idleTimeout: 20 * 60_000,
      maxLifetime: 2 * 3_600_000,
      runnerIdleTimeout: 2 * 60_000,
      finishedTimeout: 20 * 60_000,
      defaultAdvance: 20,
      aheadLimit: 1000,
      retain: "unacknowledged",
      cleanupTimeout: 10_000,
      services: undefined,
      groupServices: undefined,
      logger: undefined,
      limits: {
        sessions: Number.POSITIVE_INFINITY,
        runners: Number.POSITIVE_INFINITY,
        running: Number.POSITIVE_INFINITY,
        openReads: Number.POSITIVE_INFINITY,
        retainedItems: Number.POSITIVE_INFINITY,
        sessionsPerClient: 20,
        runnersPerClient: 200,
        runningPerClient: Number.POSITIVE_INFINITY,
        openReadsPerClient: 256,
        itemsPerRunner: 1_000_000,
        unconfirmedSessions: 10_000,
        unconfirmedItems: 1_000_000,
        unconfirmedRunners: 20,
        whenReached: "refuse",
      },
    });
    expect(secret.length).toBeGreaterThanOrEqual(16);
  });

  it("include a secret that is random for each host", () => {
    expect(resolveOptions({}).secret).not.toEqual(resolveOptions({}).secret);
  });

  it.each(
    rows({
      idleTimeout: notDurations,
      maxLifetime: notDurations,
      runnerIdleTimeout: notDurations,
      finishedTimeout: notDurations,
      cleanupTimeout: notDurations,
      defaultAdvance: notCounts,
      aheadLimit: notCounts,
      retain: notRetains,
      secret: ["", new Uint8Array(), 5, null, {}, ["a"], true],
      services: [null, {}, "x", 1, true],
      logger: [null, {}, "x", 1, true, () => {}, { warn: "x" }, { error() {} }],
    }),
  )("are checked at creation: %s may not be %s (parity 217)", (name, value) => {
    expect(() => createActiveSessions({ [name]: value })).toThrow(invalidOption(name));
  });

  it.each(
    rows({
      idleTimeout: [1, 0.5, 2 ** 40, Number.POSITIVE_INFINITY],
      maxLifetime: [1, 2 ** 40, Number.POSITIVE_INFINITY],
      runnerIdleTimeout: [1, 2 ** 40, Number.POSITIVE_INFINITY],
      finishedTimeout: [1, 2 ** 40, Number.POSITIVE_INFINITY],
      cleanupTimeout: [1, 2 ** 40, Number.POSITIVE_INFINITY],
      defaultAdvance: [1, 1_000_000],
      aheadLimit: [1, 1_000_000],
      retain: ["unacknowledged", "all", 0, 1, 1_000_000],
      secret: ["x", new Uint8Array(1), Buffer.from("x")],
      services: [() => ({}), class {}],
      logger: [{ warn() {} }, Object.assign(() => {}, { warn() {} }), console],
    }),
  )("may be set: %s to %s", (name, value) => {
    expect(resolveOptions({ [name]: value })).toMatchObject({ [name]: value });
  });

  it("count as left out when they are undefined", () => {
    const names = Object.keys(resolveOptions({}));
    const allUndefined = Object.fromEntries(names.map((name) => [name, undefined]));
    const { secret, ...rest } = resolveOptions(allUndefined);
    const { secret: _, ...defaults } = resolveOptions({});
    expect(rest).toEqual(defaults);
    expect(secret).not.toHaveLength(0);
  });

  it.each(["idelTimeout", "ttl", "idle_timeout", "pathRegexTimeout", "constructor"])(
    "that are unknown are refused: %s (parity 218)",
    (name) => {
      expect(() => createActiveSessions({ [name]: 5000 })).toThrow(
        expect.objectContaining({ code: "INVALID_OPTION", message: expect.stringContaining(JSON.stringify(name)) }),
      );
    },
  );

  it.each([null, 5, "x", true, () => {}])("must be an object, not %s", (options) => {
    expect(() => createActiveSessions(options as ActiveSessionsOptions<ActiveSession>)).toThrow(
      expect.objectContaining({ code: "INVALID_OPTION" }),
    );
  });

  it("may be left out altogether", async () => {
    const host = createActiveSessions();
    expect((await host.get("alice")).isAvailable).toBe(true);
    await host.close();
  });

  it("are taken at creation: changing the object later changes nothing", async () => {
    vi.useFakeTimers();
    const options = { idleTimeout: 100 };
    const host = openHost(options);
    options.idleTimeout = 100_000;
    const session = await host.get("alice");
    await vi.advanceTimersByTimeAsync(100);
    expect(session.isAvailable).toBe(false);
  });

  it("never have a toString of their own run for the message", () => {
    const asText = vi.fn(() => "5");
    const value = { toString: asText, toJSON: asText };
    expect(() => createActiveSessions({ idleTimeout: value as never })).toThrow(invalidOption("idleTimeout"));
    expect(asText).not.toHaveBeenCalled();
  });
});

const kinds = {
  sequence: (session: ActiveSession, options: RunnerOptions) => session.createSequenceRunner([1, 2, 3], options),
  "time-series": (session: ActiveSession, options: RunnerOptions) =>
    session.createTimeSeriesRunner({ gauge: () => 1, interval: 1000, count: 1 }, options),
  process: (session: ActiveSession, options: RunnerOptions) => session.createProcessRunner(async () => 1, options),
};

describe.each(Object.entries(kinds))("the options of a %s runner", (_kind, create) => {
  const wrong = rows({
    start: ["later", "", null, true, 0],
    aheadLimit: notCounts,
    retain: notRetains,
    defaultAdvance: notCounts,
    idleTimeout: notDurations,
    signal: [null, {}, "x", true, new AbortController()],
    holds: [null, {}, "x", 5, [1], [undefined], [{}], () => {}],
  });

  it.each(wrong)("are checked at creation: %s may not be %s", async (name, value) => {
    const host = openHost();
    const session = await host.get("alice");
    await expect(create(session, { [name]: value })).rejects.toEqual(invalidOption(name));
    expect(host.stats().runners).toBe(0);
  });

  it("that are unknown are refused", async () => {
    const session = await openHost().get("alice");
    await expect(create(session, { idleTimout: 5 } as RunnerOptions)).rejects.toMatchObject({
      code: "INVALID_OPTION",
      message: expect.stringContaining('"idleTimout"'),
    });
  });

  it.each([null, 5, "x", true, () => {}])("must be an object, not %s", async (options) => {
    const session = await openHost().get("alice");
    await expect(create(session, options as RunnerOptions)).rejects.toMatchObject({ code: "INVALID_OPTION" });
  });

  it("count as left out when they are undefined", async () => {
    const host = openHost({ runnerIdleTimeout: 777 });
    const session = await host.get("alice");
    const names = ["start", "aheadLimit", "retain", "defaultAdvance", "idleTimeout", "signal", "holds", "data"];
    const runner = await create(session, Object.fromEntries(names.map((name) => [name, undefined])));
    expect((await runner.state()).status).not.toBe("not-started");
    expect(runner.data).toBeUndefined();
  });
});

describe("the options of a runner", () => {
  it("fall back to those of the host (parity 45)", async () => {
    const session = await openHost({ defaultAdvance: 2, aheadLimit: 7 }).get("alice");
    const runner = await session.createSequenceRunner([1, 2, 3, 4]);
    expect(runner.aheadLimit).toBe(7);
    expect((await runner.getRequired()).result).toEqual([1, 2]);
  });

  it("beat those of the host (parity 45)", async () => {
    const session = await openHost({ defaultAdvance: 2, aheadLimit: 7 }).get("alice");
    const runner = await session.createSequenceRunner([1, 2, 3, 4], { defaultAdvance: 3, aheadLimit: 9 });
    expect(runner.aheadLimit).toBe(9);
    expect((await runner.getRequired()).result).toEqual([1, 2, 3]);
  });

  it("of a process fall back to a default advance of 1, not to the host's", async () => {
    const session = await openHost({ defaultAdvance: 3 }).get("alice");
    const runner = await session.createProcessRunner(async ({ report }) => {
      for (const value of [1, 2, 3, 4]) report(value);
    });
    expect((await runner.getRequired()).position).toBe(1);
  });

  it("of a process fall back to a default advance of 1 also when it is given as undefined", async () => {
    const session = await openHost({ defaultAdvance: 3 }).get("alice");
    const options = { defaultAdvance: undefined } as unknown as RunnerOptions;
    const runner = await session.createProcessRunner(async ({ report }) => {
      for (const value of [1, 2, 3, 4]) report(value);
    }, options);
    expect((await runner.getRequired()).position).toBe(1);
  });

  it("carry the application's own data, which may be changed and is never looked at (parity 17)", async () => {
    const session = await openHost().get("alice");
    const data = Object.freeze({ any: Symbol("thing") });
    const runner = await session.createSequenceRunner([1], { data });
    expect(runner.data).toBe(data);
    runner.data = "other";
    expect((await session.findRunner(0))?.data).toBe("other");
  });

  it("take any iterable of holds, each of them a disposable or a function", async () => {
    const session = await openHost().get("alice");
    const released: string[] = [];
    const holds = new Set([
      () => released.push("function"),
      { [Symbol.dispose]: () => void released.push("disposable") },
      { [Symbol.asyncDispose]: async () => void released.push("async disposable") },
    ]);
    await session.createSequenceRunner([1], { holds });
    await session.terminate();
    expect(released).toEqual(["async disposable", "disposable", "function"]);
  });
});
