import { describe, expect, test, vi } from "vitest";
import { isPending, openHost, turns } from "../../test/support/control.js";
import { inside } from "../../test/support/inside.js";
import { createDeferred } from "../base/async.js";
import type { Producer } from "../runner/producer.js";
import type { ActiveSession } from "./active-session.js";
import { defineProcessRunner, defineSequenceRunner } from "./define.js";
import type { RunnerOptions } from "./options.js";

const open = (options: { cleanupTimeout?: number } = {}) => {
  const warn = vi.fn();
  const host = openHost({ logger: { warn }, ...options });
  return host.get("user").then((session) => ({ session, warn }));
};

/** A creation that waits until its session ends. */
type Create = (session: ActiveSession, options: RunnerOptions) => Promise<unknown>;

const checking: Create = (session, options) => {
  const input = { "~standard": { version: 1 as const, vendor: "test", validate: () => new Promise<never>(() => {}) } };
  return session.createRunner(defineProcessRunner({ name: "checked", input, run: async () => 1 }), 1, options);
};

const closed = Promise.resolve({ timedOut: false, errors: [] });

const publishing: Create = (session, options) => {
  inside(session).publish(new Promise<never>(() => {}));
  return session.createSequenceRunner([1], options);
};

const ending: Create = (session, options) => {
  const produce = (): Producer => {
    void session.terminate();
    return { closed, start: async () => {}, stop: () => {} };
  };
  return session.createRunner(defineSequenceRunner({ name: "ending", produce }), undefined, options);
};

describe.each([
  ["its input is checked", checking],
  ["the framework's session is saved", publishing],
  ["it is made, by what makes it", ending],
])("the end of a session, while %s, of a creation", (_when, create) => {
  test("is over when the creation's holds are released, and before what the session owns is given back", async () => {
    const { session } = await open();
    const release = createDeferred();
    const steps: string[] = [];
    session.own(() => void steps.push("owned"));
    const hold = async () => {
      steps.push("releasing");
      await release.promise;
      steps.push("released");
    };
    const rejected = expect(create(session, { holds: [hold] })).rejects.toMatchObject({ code: "SESSION_ENDED" });
    await turns();
    const cleanup = session.terminate();
    expect(await isPending(cleanup)).toBe(true);
    expect(steps).toEqual(["releasing"]);
    release.resolve();
    expect(await cleanup).toEqual({ timedOut: false, errors: [] });
    expect(steps).toEqual(["releasing", "released", "owned"]);
    await rejected;
  });

  test("tells what went wrong with the holds, once", async () => {
    const { session, warn } = await open();
    const error = new Error("hold");
    const rejected = expect(create(session, { holds: [() => Promise.reject(error)] })).rejects.toThrow();
    await turns();
    expect(await session.terminate()).toEqual({ timedOut: false, errors: [error] });
    await rejected;
    const told = warn.mock.calls.filter(([details]) => details.error === error || details.errors?.includes(error));
    expect(told).toHaveLength(1);
  });

  test("waits for no hold longer than cleanupTimeout, and tells so", async () => {
    vi.useFakeTimers();
    const { session } = await open({ cleanupTimeout: 100 });
    const rejected = expect(create(session, { holds: [() => new Promise(() => {})] })).rejects.toThrow();
    await turns();
    const cleanup = session.terminate();
    await vi.advanceTimersByTimeAsync(99);
    expect(await isPending(cleanup)).toBe(true);
    await vi.advanceTimersByTimeAsync(1);
    expect(await cleanup).toEqual({ timedOut: true, errors: [] });
    await rejected;
  });
});

test("the end of a session waits for what a creation that has failed before still releases", async () => {
  const { session } = await open();
  const release = createDeferred();
  const creating = session.createSequenceRunner(5 as never, { holds: [() => release.promise] });
  const rejected = expect(creating).rejects.toMatchObject({ code: "INVALID_SOURCE" });
  const cleanup = session.terminate();
  expect(await isPending(cleanup)).toBe(true);
  release.reject(new Error("hold"));
  expect(await cleanup).toEqual({ timedOut: false, errors: [new Error("hold")] });
  await rejected;
});

test("the end of a session does not wait for, or tell of, creations that were over before", async () => {
  const { session } = await open();
  await session.createSequenceRunner([1]);
  const holds = [() => Promise.reject(new Error("hold"))];
  await expect(session.createSequenceRunner(5 as never, { holds })).rejects.toMatchObject({ code: "INVALID_SOURCE" });
  expect(await session.terminate()).toEqual({ timedOut: false, errors: [] });
});
