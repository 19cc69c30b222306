import { beforeEach, describe, expect, it, vi } from "vitest";
import { openHost, turns } from "../../test/support/control.js";
import { createDeferred } from "../base/async.js";
import type { Resource } from "../base/dispose.js";
import { Ownership, releaseAll } from "./ownership.js";

describe("owned resources", () => {
  const never = Number.POSITIVE_INFINITY;
  let owned: Set<Ownership>;
  let log: string[];
  const own = (resource: Resource) => new Ownership(resource, owned);

  beforeEach(() => {
    owned = new Set();
    log = [];
  });

  it("are given back in reverse order, each after the one before has finished", async () => {
    const gate = createDeferred();
    own(() => log.push("first"));
    own(async () => {
      log.push("second begins");
      await gate.promise;
      log.push("second ends");
    });
    own(() => log.push("third"));
    const released = releaseAll(owned, never);
    void released.then(() => log.push("all"));
    await turns();
    expect(log).toEqual(["third", "second begins"]);
    gate.resolve();
    expect(await released).toEqual({ timedOut: false, errors: [] });
    expect(log).toEqual(["third", "second begins", "second ends", "first", "all"]);
    expect(owned.size).toBe(0);
  });

  it("are disposed asynchronously where they can be, else synchronously, else called (parity 215)", async () => {
    const both = {
      async [Symbol.asyncDispose]() {
        log.push(`async of ${String(this === both)}`);
      },
      [Symbol.dispose]() {
        log.push("sync of both");
      },
    };
    own(both);
    const plain = {
      [Symbol.dispose]() {
        log.push(`sync of ${String(this === plain)}`);
      },
    };
    own(plain);
    await releaseAll(owned, never);
    expect(log).toEqual(["sync of true", "async of true"]);
  });

  it("do not stop each other: what they throw is collected in order of release (parity 215)", async () => {
    own(() => log.push("last"));
    own(() => {
      throw "sync";
    });
    own(async () => {
      throw "async";
    });
    own(() => log.push("first"));
    expect(await releaseAll(owned, never)).toEqual({ timedOut: false, errors: ["async", "sync"] });
    expect(log).toEqual(["first", "last"]);
  });

  it("may be given back early, exactly once, however often it is asked for (parity 213)", async () => {
    const release = vi.fn();
    const ownership = own(release);
    const first = ownership[Symbol.asyncDispose]();
    expect(ownership[Symbol.asyncDispose]()).toBe(first);
    await first;
    await releaseAll(owned, never);
    await ownership[Symbol.asyncDispose]();
    expect(release).toHaveBeenCalledTimes(1);
  });

  it("are not given back a second time by a late request (parity 213)", async () => {
    const release = vi.fn();
    const ownership = own(release);
    await releaseAll(owned, never);
    await ownership[Symbol.asyncDispose]();
    expect(release).toHaveBeenCalledTimes(1);
  });

  it("reject their early release with what they throw, also a synchronous error", async () => {
    const error = new Error("no");
    const ownership = own(() => {
      throw error;
    });
    await expect(ownership[Symbol.asyncDispose]()).rejects.toBe(error);
    expect(await releaseAll(owned, never)).toEqual({ timedOut: false, errors: [] });
  });

  it("are given up one by one when they take longer than the timeout", async () => {
    vi.useFakeTimers();
    const stuck = createDeferred();
    own(() => log.push("last"));
    own(() => stuck.promise);
    own(() => stuck.promise);
    const released = releaseAll(owned, 100);
    await vi.advanceTimersByTimeAsync(199);
    expect(log).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(log).toEqual(["last"]);
    expect(await released).toEqual({ timedOut: true, errors: [] });
  });
});

describe("what a session owns", () => {
  it("is given back when it ends, the last first, and not before (parity 213)", async () => {
    const session = await openHost().get("alice");
    const log: string[] = [];
    session.own(() => log.push("first"));
    session.own({ [Symbol.dispose]: () => void log.push("second") });
    session.own({ [Symbol.asyncDispose]: async () => void log.push("third") });
    expect(log).toEqual([]);
    await session.terminate();
    expect(log).toEqual(["third", "second", "first"]);
  });

  it("can be given back early with `await using`", async () => {
    const session = await openHost().get("alice");
    const release = vi.fn();
    {
      await using _claim = session.own(release);
      expect(release).not.toHaveBeenCalled();
    }
    expect(release).toHaveBeenCalledTimes(1);
    await session.terminate();
    expect(release).toHaveBeenCalledTimes(1);
  });

  it.each([
    ["undefined", undefined],
    ["null", null],
    ["a text", "x"],
    ["an object that cannot be disposed", {}],
    ["a number", 1],
  ])("cannot be %s: INVALID_ARGUMENT (parity 214)", async (_what, resource) => {
    const session = await openHost().get("alice");
    expect(() => session.own(resource as never)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
  });

  it("is not taken over by a session that has ended: SESSION_ENDED, the resource is not touched (parity 214)", async () => {
    const session = await openHost().get("alice");
    const release = vi.fn();
    const ended = session.terminate();
    expect(() => session.own(release)).toThrow(expect.objectContaining({ code: "SESSION_ENDED", status: 410 }));
    await ended;
    expect(() => session.own(release)).toThrow(expect.objectContaining({ code: "SESSION_ENDED" }));
    expect(release).not.toHaveBeenCalled();
  });

  it("holds up services and clean-up promise while its early release is still going on", async () => {
    const log: string[] = [];
    const host = openHost({ services: () => ({ [Symbol.dispose]: () => void log.push("services") }) });
    const session = await host.get("alice");
    const gate = createDeferred();
    void session.services;
    const early = session.own(() => gate.promise.then(() => log.push("resource")))[Symbol.asyncDispose]();
    const cleanup = session.terminate().then(() => log.push("cleaned up"));
    await turns();
    gate.resolve();
    await Promise.all([early, cleanup]);
    expect(log).toEqual(["resource", "services", "cleaned up"]);
  });
});
