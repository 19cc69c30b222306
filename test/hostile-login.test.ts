/** A login that is sent twice at once, by a double click: both requests carry the same old cookie, and both are under way. */
import { describe, expect, test } from "vitest";
import { createDeferred, type Deferred } from "../src/base/async.js";
import { rotateSession } from "../src/http/middleware.js";
import type { AdapterRoute, AdapterUnderTest } from "../src/testing.js";
import { adapters } from "./support/adapters.js";
import { atEnd } from "./support/cleanup.js";
import { openAdapter, until } from "./support/stage.js";

/** Where a login waits for the test: in front of the rotation, as where a password is checked first, or within its change. */
type Gate = "before the rotation" | "within the change";
type Release = "one after the other" | "in one step";

const cases: [Gate, Release][] = [
  ["before the rotation", "one after the other"],
  ["before the rotation", "in one step"],
  ["within the change", "one after the other"],
  ["within the change", "in one step"],
];

/** Sends the login twice; returns what the visitor's work, and the old cookie, then come to for each browser. */
async function logInTwice(adapter: AdapterUnderTest, gate: Gate, release: Release, isLate = false) {
  const waiting: Deferred<void>[] = [];
  atEnd(() => waiting.forEach(({ resolve }) => void resolve()));
  const released = () => {
    const own = createDeferred();
    waiting.push(own);
    return own.promise;
  };
  const login: AdapterRoute = async (request) => {
    if (gate === "before the rotation") await released();
    await rotateSession(request, () => (gate === "within the change" ? released() : undefined));
    return {};
  };
  const start: AdapterRoute = async (_request, session) => {
    const { key } = await session().createSequenceRunner([1, 2, 3], { retain: "all" });
    return { key };
  };
  const { browser, sessions } = await openAdapter(adapter, { routes: { "/start": start, "/login": login } });
  const visitor = browser();
  const { key } = await visitor.post<{ key: string }>("/start");

  const [first, second] = [visitor.copy(), visitor.copy()];
  const firstAnswer = first.post("/login");
  await until(() => waiting.length === 1);
  if (isLate) {
    waiting[0]!.resolve();
    await firstAnswer;
  }
  const secondAnswer = second.post("/login");
  await until(() => waiting.length === 2);
  waiting[0]!.resolve();
  if (release === "one after the other") await firstAnswer;
  waiting[1]!.resolve();
  await Promise.all([firstAnswer, secondAnswer]);

  const read = (one: typeof visitor) => one.ask(`/runners/${key}`);
  const cookieOf = (one: typeof visitor) => one.cookies.get("active-session");
  return { sessions, read, old: visitor, first, second, cookieOf };
}

describe.each(Object.entries(adapters))("a login that is sent twice at once, %s", (_name, adapter) => {
  test.each(cases)(
    "and waits %s, both going on %s: only the first answer sets a cookie, which reaches the work, in either order",
    async (...how) => {
      const { read, old, sessions, first, second, cookieOf } = await logInTwice(adapter, ...how);
      const before = cookieOf(old);
      const changed = [first, second].filter((one) => cookieOf(one) !== before);
      expect(changed).toHaveLength(1);
      const answer = await read(changed[0]!);
      expect(answer.status).toBe(200);
      expect(await answer.json()).toEqual([1, 2, 3]);
      // Neither the former cookie, which a stranger may have planted, nor the second answer leads there.
      expect([404, 410]).toContain((await read(old)).status);
      expect(sessions.stats().runners).toBe(1);
    },
  );

  test("a login that comes after the first one was answered, with the former cookie, gets a cookie with nothing", async () => {
    const { read, old, first, second, sessions } = await logInTwice(
      adapter,
      "before the rotation",
      "one after the other",
      true,
    );
    expect((await read(first)).status).toBe(200);
    expect([404, 410]).toContain((await read(second)).status);
    expect([404, 410]).toContain((await read(old)).status);
    expect(sessions.stats().runners).toBe(1);
  });
});
