import { describe, expect, test } from "vitest";
import { openHost, turns } from "../../test/support/control.js";
import { inside } from "../../test/support/inside.js";
import { openPort } from "../../test/support/wire.js";
import type { ActiveSessions } from "../session/active-sessions.js";
import { RequestContext } from "./request-context.js";

/** A request of Ann's, how many wait for its end, and what ends it. */
function openRequest(sessions: ActiveSessions) {
  const { port, over, end } = openPort();
  const installation = { sessions, identify: undefined, hasGuests: true, cookies: {} as never };
  const request = new RequestContext({ ...installation, sessions: inside(installation.sessions) }, {}, port, "ann", {
    suffix: undefined,
  });
  return { request, over, end };
}

describe("a request that has got its session", () => {
  test("keeps it from being ended to make room for another one, until it is over", async () => {
    const sessions = openHost({ limits: { sessions: 2, whenReached: "end-idle" } });
    const { request, end } = openRequest(sessions);
    const { session } = request;
    const bob = await sessions.get("bob");
    await sessions.get("cy");
    expect([session.isAvailable, bob.isAvailable]).toEqual([true, false]);
    end();
    await sessions.get("dan");
    expect(session.isAvailable).toBe(false);
  });

  test("keeps the group of a session that has ended, until it is over (parity 124)", async () => {
    const { request, end } = openRequest(openHost());
    const { group } = request.session;
    await request.session.terminate();
    await turns();
    expect(group.isAvailable).toBe(true);
    end();
    expect(group.isAvailable).toBe(false);
  });

  test("has one thing to do at its end, however often it has used the session", () => {
    const { request, over, end } = openRequest(openHost());
    const { session } = request;
    for (let i = 0; i < 3; i++) expect(request.session).toBe(session);
    expect([over.length, session.isVisited]).toEqual([1, true]);
    end();
    expect(session.isVisited).toBe(false);
  });

  test("uses the next one as well when that has taken its place", async () => {
    const { request, over, end } = openRequest(openHost());
    const former = request.session;
    await former.terminate();
    request.refresh();
    const { session } = request;
    expect(session).not.toBe(former);
    expect([over.length, former.isVisited, session.isVisited]).toEqual([2, true, true]);
    end();
    expect([former.isVisited, session.isVisited]).toEqual([false, false]);
  });

  test("uses nothing by only looking whether there is one", async () => {
    const sessions = openHost();
    const { request, over } = openRequest(sessions);
    expect(request.find()).toBeUndefined();
    const session = await sessions.get("ann");
    expect(request.find()).toBe(session);
    expect([over.length, inside(session).isVisited]).toEqual([0, false]);
  });
});
