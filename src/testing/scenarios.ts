import { deepEqual, equal, match, notEqual, ok, rejects } from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { ActiveSessionError } from "../base/error.js";
import { requestSignal, rotateSession } from "../http/middleware.js";
import type { ActiveSession } from "../session/active-session.js";
import type { ActiveSessions } from "../session/active-sessions.js";
import { defineSequenceRunner } from "../session/define.js";
import {
  type AdapterRoute,
  type AdapterUnderTest,
  type Browser,
  onStage,
  openProxy,
  SharedConnection,
  type Stage,
} from "./application.js";

/** A scenario of the suite. */
export interface AdapterScenario {
  /** Title for a test: the behaviour that is checked. */
  readonly name: string;
  /** True if the scenario applies: the adapter, or its framework, has what it is about. */
  suits(adapter: AdapterUnderTest): boolean;
  /**
   * Opens an application, uses it and closes it.
   * @throws an `AssertionError` if the adapter behaves differently
   */
  run(adapter: AdapterUnderTest): Promise<void>;
}

/** The body of the route `/start`. */
interface Started {
  /** The new runner's key. */
  readonly key: string;
  /** Its first items. */
  readonly result: readonly number[];
}

/** A definition for creation over HTTP: counts from 1 to `to`. */
const count = defineSequenceRunner({
  name: "count",
  run: function* ({ to }: { to: number }) {
    for (let n = 1; n <= to; n++) yield n;
  },
});
/** Router options that expose it. */
const router = { expose: [count] };
const json = { "content-type": "application/json" };

/**
 * Creates a runner in an application's own route and returns its first page. `retain: "all"`:
 * scenarios read it several times.
 */
const start: AdapterRoute = async (_request, session) => {
  const runner = await session().createSequenceRunner([1, 2, 3, 4, 5], { retain: "all" });
  const { result } = await runner.getRequired({ advance: 2 });
  return { key: runner.key, result };
};
/** The usual routes of an application. */
const routes = { "/start": start };

/**
 * The scenarios that every adapter of this library passes. Each one is independent, opens
 * applications of its own on real sockets, and runs in any test runner.
 * @example
 * for (const { name, suits, run } of adapterScenarios) {
 *   if (suits(adapter)) test(name, () => run(adapter));
 * }
 */
export const adapterScenarios: readonly AdapterScenario[] = [
  // The main path: a runner made in a route, read in each of the three ways. A framework that
  // buffers or compresses responses would break the event stream.
  scenario("gives the first page in the answer, and the rest by page, long-poll and SSE", (adapter) =>
    onStage(adapter, { routes }, async ({ browser }) => {
      const ann = browser();
      const { key, result } = await ann.post<Started>("/start");
      deepEqual(result, [1, 2]);
      deepEqual((await ann.client.read(key, { offset: 2 })).items, [3, 4, 5]);
      for (const live of ["long-poll", "sse"] as const) {
        deepEqual(await all(ann.client.follow(key, { live })), [1, 2, 3, 4, 5]);
      }
    }),
  ),

  // Creation over HTTP needs the body, the session and its cookie in one request. `Location`
  // must work as the relative reference that it is, resolved against the request's URL.
  scenario("creates what is exposed, for a new client too, and lists it", (adapter) =>
    onStage(adapter, { router }, async ({ browser }) => {
      const ann = browser();
      const body = '{"to":50}';
      const response = await ann.ask("/runners/count?max-items=2", { method: "POST", headers: json, body });
      const { items, closed, key } = (await response.json()) as { items: number[]; closed: boolean; key: string };
      // One cookie: a client without a session is given one by the creation.
      deepEqual([response.status, items, closed, ann.cookies.size], [201, [1, 2], false, 1]);
      const location = new URL(response.headers.get("location") ?? "", response.url);
      equal(location.pathname, `/runners/${key}`);
      deepEqual(await (await ann.ask(`${location}?offset=48`)).json(), [49, 50]);
      deepEqual(
        (await ann.client.list()).map(({ name }) => name),
        ["count"],
      );
    }),
  ),

  // The body of a stream must be pulled, not pushed: an adapter that ignores back-pressure lets
  // the producer run to its end.
  scenario("serves a slow reader of SSE everything, and does not run far ahead of it", async (adapter) => {
    const aheadLimit = 20;
    let produced = 0;
    const numbers = function* () {
      while (produced < 500) yield ++produced;
    };
    // No `retain`: acknowledged items are dropped, so a lost one could not be read again.
    const begin: AdapterRoute = async (_request, session) => {
      const { key } = await session().createSequenceRunner(numbers, { aheadLimit });
      return { key };
    };
    await onStage(adapter, { routes: { "/start": begin } }, async ({ browser }) => {
      const ann = browser();
      const { key } = await ann.post<Started>("/start");
      let taken = 0;
      for await (const item of ann.client.follow<number>(key)) {
        equal(item, ++taken);
        // Gives the server time to run ahead, if it wrongly does.
        if (taken % 10 === 0) await turns(5);
        // The producer is at most one limit ahead of the last acknowledgement, which is itself
        // late by up to half of the limit.
        ok(produced <= taken + 2 * aheadLimit, `${produced} items were made when ${taken} had been taken`);
      }
      equal(taken, 500);
    });
  }),

  // Every framework reports a closed connection in its own way. If the adapter misses it, the
  // response keeps the runner alive.
  scenario("lets go of a response whose reader has vanished", (adapter) =>
    onStage(adapter, { routes }, async (stage) => {
      const ann = stage.browser();
      const key = await startEndless(stage, ann);
      const gone = new AbortController();
      await ann.ask(`/runners/${key}?offset=0&live=sse`, { signal: gone.signal });
      equal(stage.sessions.stats().openReads, 1);
      gone.abort();
      // The server learns of the closed socket some turns later.
      await until(() => stage.sessions.stats().openReads === 0);
    }),
  ),

  // `requestSignal` is for the application's own work: it must not fire while the request is
  // being handled.
  scenario("tells by a signal that a request is over, and not before", async (adapter) => {
    const signals: AbortSignal[] = [];
    const note: AdapterRoute = async (request) => {
      const signal = requestSignal(request);
      equal(signal.aborted, false);
      signals.push(signal);
      return {};
    };
    await onStage(adapter, { routes: { "/note": note } }, async ({ browser }) => {
      await browser().post("/note");
    });
    const [signal] = signals;
    // The application has been closed, so every request is over.
    ok(signal?.aborted);
    equal(signal.reason.name, "AbortError");
  }),

  // A graceful shutdown: clients see the reason instead of a cut, and requests that arrive
  // later are rejected.
  scenario("ends open responses when the host is closed, and tells their readers why", (adapter) =>
    onStage(adapter, { routes }, async (stage) => {
      const ann = stage.browser();
      const key = await startEndless(stage, ann);
      // An event stream and a long-poll, each with nothing to deliver.
      const stream = (await ann.ask(`/runners/${key}?offset=0&live=sse`)).text();
      const poll = ann.client.read(key, { offset: 0, minItems: 1, timeout: 60 });
      await until(() => stage.sessions.stats().openReads === 2);
      await stage.sessions.close();
      match(await stream, /"runnerAbortReason":"shutdown"/);
      equal((await poll).status, "aborted");
      equal((await ann.ask("/start", { method: "POST" })).status, 503);
    }),
  ),

  // A key alone gives no access. For other clients, with and without a session, the runner does
  // not exist: 404, never 403, which would confirm the key.
  scenario("answers HEAD, state, abort and removal, and to a stranger as if there were nothing", (adapter) =>
    onStage(adapter, { routes }, async ({ browser }) => {
      const ann = browser();
      const { key } = await ann.post<Started>("/start");
      const head = await ann.ask(`/runners/${key}`, { method: "HEAD" });
      deepEqual([head.status, head.headers.get("runner-progress")], [200, "5"]);
      equal((await ann.client.state(key)).progress.current, 5);
      for (const stranger of [browser(), await known(browser())]) {
        for (const path of [`/${key}`, `/${key}/state`, `/${key}?live=sse&offset=0`]) {
          equal((await stranger.ask(`/runners${path}`)).status, 404);
        }
        equal((await stranger.ask(`/runners/${key}/abort`, { method: "POST" })).status, 404);
        equal((await stranger.ask(`/runners/${key}`, { method: "DELETE" })).status, 404);
      }
      // The owner can still use it after the attempts.
      equal((await ann.client.abort(key)).status, "aborted");
      await ann.client.remove(key);
      await rejects(ann.client.state(key), { code: "RUNNER_GONE" });
    }),
  ),

  // Adapters hand paths, headers and bodies of any form to the core. The checks run there, so
  // the results must be equal everywhere.
  scenario("refuses what the protocol refuses, with a code and without being cached", (adapter) =>
    onStage(adapter, { routes, router }, async (stage) => {
      const ann = stage.browser();
      const { key } = await ann.post<Started>("/start");
      const cases: [status: number, method: string, path: string, headers?: object, body?: string | Uint8Array][] = [
        // Malformed and repeated parameters.
        [400, "GET", `/${key}?offset=%31%2e`],
        [400, "GET", `/${key}?offset=1&offset=1`],
        // Keys and actions that do not exist; a framework may decode paths, but an encoded key
        // stays invalid.
        [404, "GET", `/%${key.charCodeAt(0).toString(16)}${key.slice(1)}`],
        [404, "GET", `/${key}/nothing`],
        // Methods that the route does not have.
        [405, "PUT", `/${key}`, json, "[1]"],
        [405, "OPTIONS", `/${key}`],
        [405, "GET", "/count"],
        // Cross-site requests that would change something.
        [403, "POST", `/${key}/abort`, { origin: "http://evil.example" }],
        [403, "POST", `/${key}/abort`, { "sec-fetch-site": "cross-site" }],
        // Bodies that are no JSON, compressed, too long or malformed.
        [415, "POST", "/count", { "content-type": "text/plain" }, '{"to":5}'],
        [415, "POST", "/count", { ...json, "content-encoding": "gzip" }, gzipSync('{"to":5}')],
        [413, "POST", "/count", json, JSON.stringify("x".repeat(200_000))],
        [422, "POST", "/count", json, "{"],
      ];
      for (const [status, method, path, headers, body] of cases) {
        // The framework's own parser rejects these before the adapter sees them.
        if (adapter.readsBodies && body !== undefined && status !== 405) continue;
        const response = await ann.ask(`/runners${path}`, {
          method,
          ...(headers && { headers }),
          body: body ?? null,
        } as RequestInit);
        const text = await response.text();
        const name = `${method} ${path} ${JSON.stringify(headers)}`;
        // The name is compared, too, so that a failure shows which case it was.
        deepEqual([name, response.status], [name, status]);
        equal(response.headers.get("runner-error-code"), JSON.parse(text).code);
        // Error responses carry the same protective headers as others, and 405 names the
        // methods in `Allow` (RFC 9110, section 15.5.6).
        equal(response.headers.get("cache-control"), "private, no-cache, no-store");
        equal(response.headers.get("cross-origin-resource-policy"), "same-origin");
        equal(response.headers.has("allow"), status === 405);
      }
      // Behind a proxy that ends TLS the scheme of `Origin` differs from the server's own: only
      // the host counts.
      for (const scheme of ["http", "https"]) {
        const origin = `${scheme}://${new URL(stage.url).host}`;
        equal((await ann.ask(`/runners/${key}/abort`, { method: "POST", headers: { origin } })).status, 200);
      }
    }),
  ),

  // Errors of the library have the properties by which the framework's error handling finds
  // status and headers.
  scenario("lets the framework answer what the application is refused, with status and Retry-After", (adapter) => {
    const refuse: AdapterRoute = async () => {
      throw new ActiveSessionError("CLIENT_LIMIT_REACHED", "Enough", { retryAfter: 5 });
    };
    return onStage(adapter, { routes: { "/refuse": refuse } }, async ({ browser }) => {
      const refused = await browser().ask("/refuse", { method: "POST" });
      deepEqual([refused.status, refused.headers.get("retry-after")], [429, "5"]);
    });
  }),

  // `identify` is application code. Its failure must end one request, not the process, and
  // never lead to an anonymous session.
  scenario("answers 500, and goes on, where identify throws or gives what is no identity", (adapter) => {
    const identify = (request: object) => {
      const user = adapter.header(request, "x-user");
      if (user === "unknown") throw new Error("There is no such user");
      return user === "number" ? 7 : user;
    };
    return onStage(adapter, { routes, options: { identify } }, async ({ browser }) => {
      for (const user of ["unknown", "number"]) {
        equal((await browser({ "x-user": user }).ask("/start", { method: "POST" })).status, 500);
      }
      equal((await browser({ "x-user": "ann" }).ask("/start", { method: "POST" })).status, 201);
    });
  }),

  // The cookie is set with the first use of the session, once: not for requests without a use,
  // for unknown keys, or again later.
  scenario(
    "sets the cookie once, with its flags, and makes no session for a request that does not ask for it",
    (adapter) =>
      onStage(adapter, { routes }, async ({ browser, sessions }) => {
        const ann = browser();
        // Passing the middleware costs no session.
        const untouched = await ann.ask("/hello");
        deepEqual([untouched.status, await untouched.text(), untouched.headers.getSetCookie()], [200, "hello", []]);
        equal((await ann.ask("/runners/1-1-AAAAAAAAAAAAAAAAAAAAAA")).headers.getSetCookie().length, 0);
        equal(sessions.stats().sessions, 0);
        const [cookie = "", ...others] = (await ann.ask("/start", { method: "POST" })).headers.getSetCookie();
        match(cookie, /^active-session=[^;]{34}; Path=\/; HttpOnly; SameSite=Lax$/);
        equal(others.length, 0);
        deepEqual((await ann.ask("/start", { method: "POST" })).headers.getSetCookie(), []);
        const stats = { sessions: 1, groups: 1, runners: 2, running: 0, unseen: 2, openReads: 0, items: 10 };
        deepEqual(sessions.stats(), stats);
      }),
  ),

  // Behind a proxy one connection carries the requests of many clients. An adapter that keeps
  // the session with the socket mixes them up.
  scenario("knows clients that share a connection by the cookie of each request", (adapter) => {
    const own: AdapterRoute = async (_request, session) => ({ id: session().id });
    return onStage(adapter, { routes: { "/own": own } }, async ({ url }) => {
      const connection = new SharedConnection(url);
      try {
        const ask = (cookie?: string) => connection.post<{ id: string }>("/own", cookie);
        const [ann, bob] = [await ask(), await ask()];
        notEqual(ann.answer.id, bob.answer.id);
        for (const { answer, cookie } of [ann, ann, bob, ann]) deepEqual((await ask(cookie)).answer, answer);
        deepEqual((await ask(`x=1; ${bob.cookie}`)).answer, bob.answer);
        // A cookie that the server did not issue leads to a new session.
        const stranger = await ask("active-session=none");
        ok(![ann.answer.id, bob.answer.id].includes(stranger.answer.id));
      } finally {
        connection.close();
      }
    });
  }),

  // Options reach the cookie; a secure one with a path has the prefix `__Secure-` (RFC 6265bis,
  // section 4.1.3).
  scenario("sets the cookie as its options say", (adapter) => {
    const cookie = { secure: true, sameSite: "strict", path: "/start" } as const;
    return onStage(adapter, { routes, options: { cookie } }, async ({ browser }) => {
      const [line = ""] = (await browser().ask("/start", { method: "POST" })).headers.getSetCookie();
      match(line, /^__Secure-active-session=[^;]{34}; Path=\/start; HttpOnly; SameSite=Strict; Secure$/);
    });
  }),

  // The framework decides if `X-Forwarded-Proto` is trusted; the adapter must ask it. `__Host-`
  // requires HTTPS and the path `/`.
  scenario(
    "sets a secure cookie where a proxy that it may believe says that the request came by HTTPS",
    (adapter) =>
      onStage(adapter, { routes, behindProxy: true }, async ({ browser }) => {
        const [line = ""] = (
          await browser({ "x-forwarded-proto": "https" }).ask("/start", { method: "POST" })
        ).headers.getSetCookie();
        match(line, /^__Host-active-session=[^;]{34}; Path=\/; HttpOnly; SameSite=Lax; Secure$/);
      }),
    ({ knowsProxies }) => knowsProxies === true,
  ),

  // With `identify` the session belongs to the user. A cookie would tie it to one device.
  scenario("gives each user one session, from whatever device, and no cookie", (adapter) =>
    onStage(adapter, { routes, options: { identify: byHeader(adapter) } }, async ({ browser, sessions }) => {
      const [phone, desk, bob] = [
        browser({ "x-user": "ann" }),
        browser({ "x-user": "ann" }),
        browser({ "x-user": "bob" }),
      ];
      const { key } = await phone.post<Started>("/start");
      deepEqual((await desk.client.read(key)).items, [1, 2, 3, 4, 5]);
      equal((await bob.ask(`/runners/${key}`)).status, 404);
      deepEqual([phone.cookies.size, sessions.stats().sessions], [0, 1]);
      ok(await (await sessions.find("ann"))?.findRunner(key));
    }),
  ),

  // Requests in parallel must not create a session each. It holds wherever they share an
  // identity: a user, a cookie, a framework's session.
  scenario("makes one session for concurrent first requests of one identity", async (adapter) => {
    const many = (browser: Browser) => Promise.all(Array.from({ length: 8 }, () => browser.post<Started>("/start")));
    await onStage(adapter, { routes, options: { identify: byHeader(adapter) } }, async ({ browser, sessions }) => {
      await many(browser({ "x-user": "ann" }));
      equal(sessions.stats().sessions, 1);
    });
    await onStage(adapter, { routes }, async ({ browser, sessions }) => {
      const ann = browser();
      await ann.post<Started>("/start");
      for (const session of sessions.sessions()) await session.terminate(); // the cookie outlives its session
      await many(ann);
      equal(sessions.stats().sessions, 1);
      const bob = browser();
      const keys = await many(bob); // without any identity: the last cookie wins, the other sessions idle out
      equal(sessions.stats().sessions, 1 + keys.length);
      const answers = await Promise.all(keys.map(({ key }) => bob.ask(`/runners/${key}`)));
      equal(answers.filter(({ status }) => status === 200).length, 1);
    });
    if (!adapter.frameworkSession) return;
    await onStage(adapter, { routes: sessionRoutes(adapter, true), withFrameworkSession: true }, async (stage) => {
      const ann = await known(stage.browser(), "/login");
      await many(ann);
      equal(stage.sessions.stats().sessions, 1);
    });
  }),

  // Scopes select a session by path, and routes outside of all scopes have none.
  scenario("gives several sessions to one client by scope, and none outside of all", (adapter) => {
    const scopes = [{ when: "/start" }, { when: "/other", suffix: "other" }, { when: "/runners" }];
    const more = { ...routes, "/other": start, "/outside": start };
    return onStage(adapter, { routes: more, options: { scopes } }, async ({ browser, sessions }) => {
      const ann = browser();
      const first = await ann.post<Started>("/start");
      const second = await ann.post<Started>("/other");
      equal(sessions.stats().sessions, 2);
      for (const { key } of [first, second]) deepEqual((await ann.client.read(key)).items, [1, 2, 3, 4, 5]);
      // Using the session there throws `OUT_OF_SCOPE`, and nothing is created.
      equal((await ann.ask("/outside", { method: "POST" })).status, 500);
      equal(sessions.stats().sessions, 2);
    });
  }),

  // Session fixation: after a login the former cookie must not lead to the session.
  scenario("gives no access to a holder of the cookie from before a login; the work is kept or ended", (adapter) =>
    onStage(adapter, { routes: sessionRoutes(adapter, false) }, (stage) => logIn(stage, stage.browser())),
  ),

  // `rotateSession` moves a visitor's session to the user, unless the user has one already.
  scenario("gives what a visitor had begun to the user that it turns out to be", (adapter) => {
    /**
     * Users by the request that has logged them in: `identify` is asked again within that
     * request.
     */
    const loggedIn = new WeakMap<object, string>();
    const identify = (request: object) => loggedIn.get(request) ?? byHeader(adapter)(request);
    const login: AdapterRoute = async (request) => {
      await rotateSession(request, () => loggedIn.set(request, "ann"));
      return {};
    };
    return onStage(adapter, { routes: { ...routes, "/login": login }, options: { identify } }, async (stage) => {
      const visitor = stage.browser();
      const { key } = await visitor.post<Started>("/start");
      await visitor.post("/login");
      ok(await isOutOfReach(visitor, key));
      const ann = stage.browser({ "x-user": "ann" });
      deepEqual((await ann.client.read(key)).items, [1, 2, 3, 4, 5]);
      const later = stage.browser();
      const { key: other } = await later.post<Started>("/start");
      await later.post("/login"); // the user has a session already, which stays
      deepEqual([(await ann.ask(`/runners/${key}`)).status, (await ann.ask(`/runners/${other}`)).status], [200, 404]);
      equal(stage.sessions.stats().sessions, 1);
    });
  }),

  // After a logout nothing of the former session is left, and the same browser starts again.
  scenario("ends the work with a logout, and starts again behind it", (adapter) =>
    onStage(adapter, { routes: sessionRoutes(adapter, false) }, (stage) => logOut(stage, stage.browser())),
  ),

  // The framework's session is the identity: no second cookie. A session is only created when
  // it is used.
  scenario(
    "belongs to the framework's session, where there is one: no cookie of its own, and another client has others",
    (adapter) =>
      onStage(adapter, { routes: sessionRoutes(adapter, true), withFrameworkSession: true }, async (stage) => {
        const [ann, bob] = [stage.browser(), stage.browser()];
        // A framework's session that was not written to creates nothing.
        await bob.ask("/hello");
        equal(stage.sessions.stats().sessions, 0);
        const { key } = await ann.post<Started>("/start");
        await ann.post("/start");
        await bob.post("/start");
        deepEqual([stage.sessions.stats().sessions, stage.sessions.stats().runners], [2, 3]);
        deepEqual((await ann.client.read(key)).items, [1, 2, 3, 4, 5]);
        equal((await bob.ask(`/runners/${key}`)).status, 404);
        deepEqual(
          [...ann.cookies.keys()].filter((name) => name.includes("active-session")),
          [],
        );
      }),
    hasSessions,
  ),

  // The id of the framework's session changes with a login. The session must move with it, and
  // end with the logout.
  scenario(
    "follows the framework's session through a login, and ends with it",
    (adapter) => {
      const wishes = { routes: sessionRoutes(adapter, true), withFrameworkSession: true };
      return onStage(adapter, wishes, async (stage) => {
        await logIn(stage, stage.browser());
        await logOut(stage, stage.browser());
      });
    },
    hasSessions,
  ),

  // The application may not know its public path: a proxy may strip a prefix. Links must be
  // relative, and nothing may be assumed about the mount.
  scenario("serves runners under any path, also behind a proxy that takes a part of it away", (adapter) =>
    onStage(adapter, { routes, router, mount: "/api/v1/runners" }, async ({ url, browser }) => {
      const direct = browser();
      const { key } = await direct.post<Started>("/start");
      deepEqual((await direct.client.read(key)).items, [1, 2, 3, 4, 5]);
      // Nothing is served at the default path.
      equal((await direct.ask(`/runners/${key}`)).status, 404);
      const proxy = await openProxy(url, "/shop");
      try {
        const init = { method: "POST", headers: json, body: '{"to":50}' };
        const response = await fetch(`${proxy.url}/api/v1/runners/count?max-items=2`, init);
        equal(response.status, 201);
        // Without `Browser`, which knows only the application's own origin.
        const [cookie = ""] = response.headers.getSetCookie();
        const headers = { cookie: cookie.split(";")[0] ?? "" };
        const location = new URL(response.headers.get("location") ?? "", response.url);
        match(location.pathname, /^\/shop\/api\/v1\/runners\/[^/]+$/);
        deepEqual(await (await fetch(`${location}?offset=48`, { headers })).json(), [49, 50]);
        const stream = await (await fetch(`${location}?offset=48&live=sse`, { headers })).text();
        match(stream, /data: ?\[49,50\]/);
      } finally {
        await proxy.close();
      }
    }),
  ),
];

/** Creates a scenario. Without `suits` it applies to every adapter. */
function scenario(
  name: string,
  run: (adapter: AdapterUnderTest) => Promise<void>,
  suits: (adapter: AdapterUnderTest) => boolean = () => true,
): AdapterScenario {
  return { name, run, suits };
}

/** True if the framework has sessions of its own. */
function hasSessions({ frameworkSession }: AdapterUnderTest): boolean {
  return frameworkSession !== undefined;
}

/** An `identify` that takes the user from the header `X-User`. */
function byHeader(adapter: AdapterUnderTest): (request: object) => string | undefined {
  return (request) => adapter.header(request, "x-user");
}

/**
 * The usual routes with a login that keeps the work, one that ends it, and a logout.
 * @param withFrameworkSession true if they also renew and destroy the framework's session
 */
function sessionRoutes(adapter: AdapterUnderTest, withFrameworkSession: boolean): Record<string, AdapterRoute> {
  const sessions = withFrameworkSession ? adapter.frameworkSession : undefined;
  const login =
    (work: "keep" | "end"): AdapterRoute =>
    async (request) => {
      await rotateSession(request, () => sessions?.renew(request), { work });
      return {};
    };
  const logout: AdapterRoute = async (request, session) => {
    await session().terminate();
    await sessions?.destroy(request);
    return {};
  };
  return { ...routes, "/login": login("keep"), "/login-again": login("end"), "/logout": logout };
}

/**
 * Logs a browser in twice: the first login keeps session, runner and properties, but changes
 * the cookie; the second one ends them.
 */
async function logIn({ sessions }: Stage, ann: Browser): Promise<void> {
  const { key } = await ann.post<Started>("/start");
  // Has the cookie from before the login, as an attacker would.
  const former = ann.copy();
  const session = latestOf(sessions);
  session.properties.set("cart", ["apples"]);
  await ann.post("/login");
  // The cookie is another one; runner, session and properties are the same.
  notEqual(String([...ann.cookies]), String([...former.cookies]));
  deepEqual((await ann.client.read(key)).items, [1, 2, 3, 4, 5]);
  ok(await isOutOfReach(former, key));
  deepEqual([session.isAvailable, session.properties.get("cart"), sessions.stats().sessions], [true, ["apples"], 1]);
  await ann.post("/login-again");
  deepEqual([await isOutOfReach(ann, key), session.isAvailable], [true, false]);
  // The session leaves the host once its clean-up is done.
  await session.cleanup;
  equal(sessions.stats().sessions, 0);
}

/** The session that was created last. */
function latestOf(sessions: ActiveSessions): ActiveSession {
  return [...sessions.sessions()].at(-1)!;
}

/** Logs a browser out: its session ends at once, and the next request starts another one. */
async function logOut({ sessions }: Stage, ann: Browser): Promise<void> {
  const { key } = await ann.post<Started>("/start");
  const session = latestOf(sessions);
  await ann.post("/logout");
  equal(session.isAvailable, false);
  ok(await isOutOfReach(ann, key));
  const { key: next } = await ann.post<Started>("/start");
  notEqual(next, key);
  equal(sessions.stats().sessions, 1);
}

/**
 * True if this client cannot reach the runner: it is gone (410), or unknown to the client
 * (404).
 */
async function isOutOfReach(browser: Browser, key: string): Promise<boolean> {
  return [404, 410].includes((await browser.ask(`/runners/${key}`)).status);
}

/** Gives a browser a session, and then posts to `path`. */
async function known(browser: Browser, path = "/start"): Promise<Browser> {
  await browser.post("/start");
  if (path !== "/start") await browser.post(path);
  return browser;
}

/** Starts a runner that never produces an item. Returns its key. */
async function startEndless({ sessions }: Stage, browser: Browser): Promise<string> {
  await browser.post("/start");
  const session = latestOf(sessions);
  return (await session.createSequenceRunner(new ReadableStream<number>())).key;
}

/** Collects all items. */
async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const taken: T[] = [];
  for await (const item of items) taken.push(item);
  return taken;
}

/** Waits for turns of the event loop, in which sockets are served. */
async function turns(number: number): Promise<void> {
  for (let i = 0; i < number; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

/**
 * Waits for a change that the server makes by itself. The test runner's time-out bounds the
 * wait.
 */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turns(1);
}
