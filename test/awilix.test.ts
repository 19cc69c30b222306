/** Services out of a real awilix container, in a real Express application. */
import { type AwilixContainer, asFunction, asValue, createContainer, Lifetime } from "awilix";
import express, { type ErrorRequestHandler, type Request, type Response } from "express";
import { describe, expect, test } from "vitest";
import { awilixScopes, type ContainerScope } from "../src/awilix.js";
import { createDeferred, type Deferred } from "../src/base/async.js";
import { activeSession } from "../src/express.js";
import type { ActiveSession } from "../src/session/active-session.js";
import { isPending, openHost, turns } from "./support/control.js";
import { waitUntil } from "./support/patience.js";
import { listen } from "./support/server.js";

const showError: ErrorRequestHandler = (error, _request, response, _next) => {
  response.status(error.status ?? 500).json({ code: error.code, message: error.message });
};

/** An application under `/in` that is in a scope, and one under `/out` that is in none; `act` says what a request does. */
async function open(act: (request: Request, response: Response) => unknown = () => ({})) {
  const disposed: string[] = [];
  let made = 0;
  const container = createContainer();
  container.register({
    counter: asFunction(() => ({ number: ++made }), {
      lifetime: Lifetime.SCOPED,
      dispose: ({ number }) => void disposed.push(`counter ${number}`),
    }),
    whose: asFunction(({ activeSession: session }: { activeSession: ActiveSession }) => session.id).scoped(),
    broken: asFunction(() => {
      throw new Error("cannot be made");
    }),
  });
  const requestScope = container.createScope();
  requestScope.register({ counter: asValue({ number: 0 }) });
  const scopes = awilixScopes(container as AwilixContainer, { requestScope: () => requestScope });
  const sessions = openHost({ services: scopes.services, groupServices: scopes.groupServices });
  const app = express();
  const identify = (request: Request) => request.headers["x-user"] ?? "ann";
  app.use(activeSession(sessions, { identify, scopes: [{ when: "/in" }] }));
  app.use(async (request, response) => {
    const body = await act(request, response);
    if (!response.headersSent) response.json(body);
  });
  app.use(showError);
  const { url } = await listen(app);
  const ask = async (path: string, user = "ann") => {
    const response = await fetch(url + path, { headers: { "x-user": user } });
    return response.json();
  };
  return { ask, scopes, sessions, container, disposed };
}

describe("a session's service", () => {
  test("is the same for all its requests, another one for each session, and disposed with it (parity 192)", async () => {
    const { ask, sessions, disposed, scopes } = await open((request) => scopes.sessionService(request, "counter"));
    const first = await ask("/in");
    expect(first).toEqual({ service: { number: 1 }, isFromSession: true });
    expect(await ask("/in")).toEqual(first);
    expect(await ask("/in", "bob")).toEqual({ service: { number: 2 }, isFromSession: true });
    await (await sessions.get("ann")).terminate();
    expect(disposed).toEqual(["counter 1"]);
  });

  test("comes from the request's own scope where there is no session (parity 192)", async () => {
    const { ask, scopes } = await open((request) => scopes.sessionService(request, "counter"));
    expect(await ask("/out")).toEqual({ service: { number: 0 }, isFromSession: false });
  });

  test("that is not registered is none, and no error (parity 192)", async () => {
    const { ask, scopes } = await open((request) => scopes.sessionService(request, "nothing"));
    expect(await ask("/in")).toEqual({ isFromSession: true });
    expect(await ask("/out")).toEqual({ isFromSession: false });
  });

  test("is looked for again each time: after the session's end it is the request's (parity 193)", async () => {
    const { ask, scopes } = await open(async (request) => {
      const before = scopes.sessionService(request, "counter").isFromSession;
      await request.activeSession.terminate();
      return { before, after: scopes.sessionService(request, "counter").isFromSession };
    });
    expect(await ask("/in")).toEqual({ before: true, after: false });
  });

  test("may be the request's in all of its code: the scope of the session in place of its own (parity 175, 176)", async () => {
    const { ask, scopes } = await open((request) => {
      const own = Object.assign(request, { container: scopes.containerOf(request) });
      return { counter: own.container.resolve("counter"), found: scopes.sessionService(request, "counter") };
    });
    const service = { number: 1 };
    expect(await ask("/in")).toEqual({ counter: service, found: { service, isFromSession: true } });
    expect(await ask("/out")).toEqual({
      counter: { number: 0 },
      found: { service: { number: 0 }, isFromSession: false },
    });
  });

  test("can be made from the session itself, which its scope knows; so can a group's", async () => {
    const { ask, scopes, sessions } = await open((request) => scopes.sessionService(request, "whose"));
    const session = await sessions.get("ann");
    expect(await ask("/in")).toEqual({ service: session.id, isFromSession: true });
    const { container } = session.group.services as ContainerScope<AwilixContainer>;
    expect(container.resolve("sessionGroup")).toBe(session.group);
  });

  test("cannot be found if the host has other services", async () => {
    const scopes = awilixScopes(createContainer() as AwilixContainer);
    const session = await openHost().get("ann");
    expect(() => scopes.sessionService({ activeSession: session } as never, "x")).toThrow(
      expect.objectContaining({ code: "INVALID_OPTION" }),
    );
  });

  test("is disposed when the runners have been cleaned up, not before (parity 138)", async () => {
    const { sessions, disposed } = await open();
    const session = await sessions.get("ann");
    const gate = createDeferred();
    session.services.container.resolve("counter");
    await session.createSequenceRunner(async function* () {
      try {
        yield 1;
      } finally {
        await gate.promise;
      }
    });
    await turns();
    const ended = session.terminate();
    await turns();
    expect(disposed).toEqual([]);
    gate.resolve();
    await ended;
    expect(disposed).toEqual(["counter 1"]);
  });
});

describe("an exclusive service", () => {
  /** Requests under `/in` take the lock, say so, and hold it until the test opens their gate. */
  async function openLocking() {
    const gates = new Map<string, Deferred<void>>();
    const order: string[] = [];
    const opened = await open(async (request) => {
      const name = String(request.query.name);
      const options = request.query.timeout ? { timeout: Number(request.query.timeout) } : {};
      const lock = await opened.scopes.lockService(request, String(request.query.service ?? "counter"), options);
      if (!lock) return "time is up";
      order.push(name);
      await gates.get(name)?.promise;
      if (request.query.dispose) await lock[Symbol.asyncDispose]();
      return { service: lock.service, isReallyLocked: lock.isReallyLocked };
    });
    const take = (name: string, more = "") => {
      gates.set(name, createDeferred());
      return opened.ask(`/in?name=${name}${more}`);
    };
    return { ...opened, order, take, release: (name: string) => gates.get(name)!.resolve() };
  }

  test("has one holder, the others wait in order; the end of the request releases it (parity 194, 196, 203)", async () => {
    const { take, release, order } = await openLocking();
    const answers = [take("a")];
    await waitUntil(() => order.length === 1);
    answers.push(take("b"));
    await turns(20);
    expect(order).toEqual(["a"]);
    release("a");
    expect(await answers[0]).toEqual({ service: { number: 1 }, isReallyLocked: true });
    await waitUntil(() => order.length === 2);
    expect(order).toEqual(["a", "b"]);
    release("b");
    await answers[1];
  });

  test("of another name is independent (parity 194)", async () => {
    const { take, release, order } = await openLocking();
    const answers = [take("a"), take("b", "&service=whose")];
    await waitUntil(() => order.length === 2);
    release("a");
    release("b");
    await Promise.all(answers);
  });

  test("with a time-out of 0 only tries (parity 195)", async () => {
    const { take, release, order } = await openLocking();
    const first = take("a");
    await waitUntil(() => order.length === 1);
    expect(await take("b", "&timeout=0")).toBe("time is up");
    release("a");
    await first;
  });

  test("that is not registered is locked all the same (parity 196)", async () => {
    const { take, release, order } = await openLocking();
    const first = take("a", "&service=nothing");
    await waitUntil(() => order.length === 1);
    expect(await take("b", "&service=nothing&timeout=0")).toBe("time is up");
    release("a");
    expect(await first).toEqual({ isReallyLocked: true });
  });

  test("without a session is the request's own: no request waits, and it says so (parity 197)", async () => {
    const { ask } = await openLocking();
    const answers = await Promise.all([ask("/out?name=a"), ask("/out?name=b")]);
    expect(answers).toEqual(Array(2).fill({ service: { number: 0 }, isReallyLocked: false }));
  });

  test("whose construction fails stays free (parity 202)", async () => {
    const { ask, take } = await openLocking();
    expect(await ask("/in?name=a&service=broken")).toMatchObject({
      message: expect.stringContaining("cannot be made"),
    });
    const again = take("b", "&service=broken&timeout=0");
    expect(await again).toMatchObject({ message: expect.stringContaining("cannot be made") });
  });

  test("of a session that ends in the step in which it is granted comes from nowhere else", async () => {
    const { sessions, scopes, container } = await open();
    const session = await sessions.get("ann");
    const held = (await session.lock("service:counter"))!;
    const request = { activeSession: session } as never;
    const waiting = scopes.lockService(request, "counter", { signal: new AbortController().signal });
    await turns();
    held.release();
    void session.terminate();
    await expect(waiting).rejects.toMatchObject({ code: "SESSION_ENDED" });
    expect(container.cache.size).toBe(0);
  });

  test("that was handed to a runner outlives the request, until the runner is cleaned up (parity 159, 203)", async () => {
    const gate = createDeferred();
    const { ask, scopes, sessions } = await open(async (request) => {
      const lock = await scopes.lockService(request, "counter", { timeout: 0 });
      if (!lock) return "time is up";
      const runner = await request.activeSession.createProcessRunner(() => gate.promise, { holds: [lock] });
      return { key: runner.key };
    });
    const { key } = await ask("/in");
    await turns(20);
    expect(await ask("/in")).toBe("time is up");
    const runner = (await (await sessions.get("ann")).findRunner(key))!;
    gate.resolve();
    await runner.cleanup;
    await turns();
    expect(await ask("/in")).toMatchObject({ key: expect.any(String) });
  });

  test("is rejected for all waiting calls when the session ends (parity 200, 201)", async () => {
    const { take, release, order, sessions } = await openLocking();
    const answers = [take("a"), take("b"), take("c")];
    await waitUntil(() => order.length === 1);
    await turns(30);
    await (await sessions.get("ann")).terminate();
    for (const name of ["a", "b", "c"]) release(name);
    const codes = (await Promise.all(answers)).map(({ code }) => code);
    expect(codes.filter((code) => code === "SESSION_ENDED")).toHaveLength(2);
    expect(await isPending(Promise.all(answers))).toBe(false);
  });
});
