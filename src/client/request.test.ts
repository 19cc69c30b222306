import { afterEach, describe, expect, test, vi } from "vitest";
import { atEnd } from "../../test/support/cleanup.js";
import { isPending, turns } from "../../test/support/control.js";
import { ActiveSessionError } from "../base/error.js";
import { type ClientOptions, isTemporary, queryOf, type RequestDetails, request } from "./request.js";

const url = "http://server.test/runners/1";

/** A `fetch` that always answers the same and keeps what it was asked. */
function answering(answer: () => Response | Promise<Response>): { fetch: typeof fetch; inits: RequestInit[] } {
  const inits: RequestInit[] = [];
  return {
    inits,
    fetch: async (_url, init) => {
      inits.push(init ?? {});
      return answer();
    },
  };
}

/** An error of our own server. */
function json(status: number, body: { code: string; message: string }, headers: Record<string, string> = {}): Response {
  const all = { "Content-Type": "application/json", "Runner-Error-Code": body.code, ...headers };
  return new Response(JSON.stringify(body), { status, headers: all });
}

/** An error of something on the way. */
function foreign(status: number, body: unknown, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/json", ...headers } });
}

/** What a request that is answered so rejects with. */
async function rejection(answer: () => Response | Promise<Response>, signal?: AbortSignal): Promise<unknown> {
  return request(url, { fetch: answering(answer).fetch }, { signal }).then(
    () => expect.fail("the request succeeded"),
    (error: unknown) => error,
  );
}

afterEach(() => {
  vi.unstubAllGlobals();
});

describe("what is sent", () => {
  async function initOf(options: ClientOptions, details: RequestDetails = {}): Promise<RequestInit> {
    const { fetch, inits } = answering(() => new Response("ok"));
    await request(url, { ...options, fetch }, details);
    return inits[0]!;
  }

  test("method and signal are those of the request", async () => {
    const { signal } = new AbortController();
    expect(await initOf({}, { method: "POST", signal })).toMatchObject({ method: "POST", signal });
  });

  test("headers are sent with every request", async () => {
    expect((await initOf({ headers: { "x-user": "ann" } })).headers).toEqual({ "x-user": "ann" });
  });

  test("a function gives the headers again for each request", async () => {
    const { fetch, inits } = answering(() => new Response("ok"));
    let count = 0;
    const options: ClientOptions = { fetch, headers: () => ({ "x-count": String(++count) }) };
    await request(url, options, {});
    await request(url, options, {});
    expect(inits.map(({ headers }) => new Headers(headers).get("x-count"))).toEqual(["1", "2"]);
  });

  test("credentials are passed on, and left to fetch when not given", async () => {
    expect((await initOf({ credentials: "include" })).credentials).toBe("include");
    expect(await initOf({})).not.toHaveProperty("credentials");
  });

  test("without a fetch of its own it uses the global one of the moment of the request", async () => {
    const { fetch, inits } = answering(() => new Response("ok"));
    vi.stubGlobal("fetch", fetch);
    await request(url, {}, { method: "HEAD" });
    expect(inits).toMatchObject([{ method: "HEAD" }]);
  });
});

test.each(["null", "5", '"no"', "[]"])("an error of a server whose body is %s is known by its code", async (text) => {
  const answer = () => new Response(text, { status: 400, headers: { "Runner-Error-Code": "INVALID_ARGUMENT" } });
  expect(await rejection(answer)).toMatchObject({ code: "INVALID_ARGUMENT", status: 400 });
});

describe("the address", () => {
  /** The address, as `fetch` was given it. */
  async function targetOf(url: string, options: ClientOptions = {}): Promise<unknown> {
    const targets: unknown[] = [];
    const send: typeof fetch = async (target) => {
      targets.push(target);
      return new Response("ok");
    };
    vi.stubGlobal("fetch", send);
    await request(url, options.fetch ? { fetch: send } : {}, {});
    return targets[0];
  }

  test.each([url, "/runners/1", "runners/1"])("%s goes to a fetch of one's own as it is", async (url) => {
    expect(await targetOf(url, { fetch })).toBe(url);
  });

  test.each([
    [url, url],
    ["/runners/1", "http://page.test/runners/1"],
    ["runners/1?offset=-1", "http://page.test/base/runners/1?offset=-1"],
  ])("%s is, in a page, that of %s", async (url, whole) => {
    vi.stubGlobal("document", { baseURI: "http://page.test/base/" });
    vi.stubGlobal("location", { href: "http://page.test/elsewhere/" });
    expect(await targetOf(url)).toEqual(new URL(whole));
  });

  test("is relative to that of a worker", async () => {
    vi.stubGlobal("location", { href: "http://page.test/scripts/worker.js" });
    expect(await targetOf("/runners/1")).toEqual(new URL("http://page.test/runners/1"));
  });

  test.each(["/runners/1", "runners", ""])(
    "%j is no address where there is no page: a TypeError, at once",
    async (url) => {
      const { fetch, inits } = answering(() => new Response("ok"));
      vi.stubGlobal("fetch", fetch);
      await expect(request(url, {}, {})).rejects.toThrow(TypeError);
      expect(inits).toEqual([]);
    },
  );
});

describe("a query", () => {
  test("leaves out what is undefined, and nothing else", () => {
    expect(queryOf({ offset: 0, live: undefined, cursor: "a b&", acks: true })).toBe(
      "?offset=0&cursor=a+b%26&acks=true",
    );
  });

  test.each([
    [Number.NaN, "?offset=null"],
    [1.5, "?offset=1.5"],
    [-5, "?offset=-5"],
    ["", "?offset="],
  ])("with the offset %j is one that the server refuses, not the one without an offset", (offset, query) => {
    expect(queryOf({ offset })).toBe(query);
  });
});

describe("what an answer means", () => {
  test.each([200, 204])("%i is a success and comes back as it is", async (status) => {
    const response = new Response(null, { status });
    expect(await request(url, { fetch: answering(() => response).fetch }, {})).toBe(response);
  });

  test.each([
    ["404 of ours", () => json(404, { code: "RUNNER_NOT_FOUND", message: "There is no such runner" })],
    ["410 of ours", () => json(410, { code: "RUNNER_GONE", message: "gone" })],
    ["410 of an ended session", () => json(410, { code: "SESSION_ENDED", message: "ended" })],
  ])("%s: the runner is gone", async (_name, answer) => {
    expect(await rejection(answer)).toMatchObject({ code: "RUNNER_GONE", name: "ActiveSessionError" });
  });

  test("410 for a position stays POSITION_GONE", async () => {
    const error = await rejection(() => json(410, { code: "POSITION_GONE", message: "the first kept is 7" }));
    expect(error).toMatchObject({ code: "POSITION_GONE", message: "the first kept is 7" });
  });

  test("POSITION_GONE tells the first position that is still kept", async () => {
    const headers = { "Runner-First-Offset": "0000000000000007" };
    const error = await rejection(() => json(410, { code: "POSITION_GONE", message: "gone" }, headers));
    expect(error).toMatchObject({ code: "POSITION_GONE", firstPosition: 7 });
  });

  test.each([
    [400, "POSITION_AHEAD"],
    [400, "INVALID_ARGUMENT"],
    [403, "CROSS_SITE_REQUEST"],
    [405, "METHOD_NOT_ALLOWED"],
    [409, "READ_CONFLICT"],
    [500, "RESULT_NOT_SERIALIZABLE"],
    [500, "RUNNER_START_FAILED"],
  ])("%i %s keeps its code and message, and is no matter for another try", async (status, code) => {
    const error = await rejection(() => json(status, { code, message: "Cannot do that" }));
    expect([ActiveSessionError.is(error), isTemporary(error)]).toEqual([true, false]);
    expect(error).toMatchObject({ code, message: "Cannot do that" });
  });

  test.each([400, 403, 404, 407, 410, 431])(
    "%i without a code is UNEXPECTED_RESPONSE, and names the URL",
    async (status) => {
      const error = await rejection(() => new Response("<h1>No</h1>", { status }));
      expect(error).toMatchObject({ code: "UNEXPECTED_RESPONSE", message: `Status ${status} from ${url}` });
    },
  );

  test("401 without a code is UNAUTHORIZED, and is no matter for another try", async () => {
    const error = await rejection(() => new Response("<h1>Log in</h1>", { status: 401 }));
    expect(error).toMatchObject({ code: "UNAUTHORIZED", status: 401 });
    expect(isTemporary(error)).toBe(false);
  });

  test("4xx of a proxy that has codes of its own is UNEXPECTED_RESPONSE too", async () => {
    const error = await rejection(() => foreign(403, { code: "WAF_BLOCKED", message: "Request blocked" }));
    expect(error).toMatchObject({ code: "UNEXPECTED_RESPONSE", status: 502 });
  });

  test.each(["null", "[]", '"text"', "7"])("a body of the JSON %s says nothing", async (body) => {
    expect(await rejection(() => new Response(body, { status: 400 }))).toMatchObject({ code: "UNEXPECTED_RESPONSE" });
  });

  test.each([408, 425, 429, 500, 502, 503, 504])("%i may be mended by another try", async (status) => {
    expect(isTemporary(await rejection(() => new Response("busy", { status })))).toBe(true);
  });

  test("503 of a server that shuts down may be mended by another try", async () => {
    const answer = () => json(503, { code: "HOST_CLOSED", message: "closing" });
    expect(isTemporary(await rejection(answer))).toBe(true);
  });

  test("429 of a gateway that has codes of its own may be mended by another try", async () => {
    const answer = () => foreign(429, { code: "RATE_LIMITED", message: "Too many requests" }, { "Retry-After": "3" });
    const error = await rejection(answer);
    expect(isTemporary(error)).toBe(true);
    expect(error).toMatchObject({ retryAfter: 3 });
  });

  test("a network error may be mended by another try, and is its cause", async () => {
    const cause = new TypeError("fetch failed");
    const error = await rejection(() => Promise.reject(cause));
    expect(isTemporary(error)).toBe(true);
    expect(error).toMatchObject({ cause });
  });

  test.each([400, 410])("%i whose body is cut off may be mended by another try", async (status) => {
    const cut = () =>
      new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(new TextEncoder().encode('{"code":"POSI'));
          controller.error(new TypeError("terminated"));
        },
      });
    expect(isTemporary(await rejection(() => new Response(cut(), { status })))).toBe(true);
  });
});

describe("Retry-After", () => {
  const delayFor = async (value: string) => {
    const answer = () => new Response("busy", { status: 503, headers: { "Retry-After": value } });
    return ((await rejection(answer)) as ActiveSessionError).retryAfter;
  };

  test("is read in seconds", async () => {
    expect(await delayFor("7")).toBe(7);
    expect(await delayFor("0")).toBeUndefined(); // nothing to wait for
  });

  test("is read as an HTTP date", async () => {
    vi.useFakeTimers({ now: Date.UTC(2026, 0, 1, 12, 0, 0) });
    expect(await delayFor("Thu, 01 Jan 2026 12:00:30 GMT")).toBe(30);
  });

  test("says nothing as a date that has passed, or as nonsense", async () => {
    vi.useFakeTimers({ now: Date.UTC(2026, 0, 1, 12, 0, 0) });
    expect(await delayFor("Thu, 01 Jan 2026 11:59:59 GMT")).toBeUndefined();
    expect(await delayFor("soon")).toBeUndefined();
    expect(await delayFor("-5")).toBeUndefined();
  });

  test("is absent as a rule", async () => {
    expect(await rejection(() => new Response("busy", { status: 503 }))).not.toHaveProperty("retryAfter");
  });
});

describe("the signal", () => {
  const reason = new Error("the user has left");

  test("gives its reason to a request that is under way", async () => {
    const controller = new AbortController();
    const answer = () =>
      new Promise<Response>((_, reject) => {
        controller.signal.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
      });
    const result = rejection(answer, controller.signal);
    expect(await isPending(result)).toBe(true);
    controller.abort(reason);
    expect(await result).toBe(reason);
  });

  test.each([404, 400, 503])("gives its reason when it aborts within the body of a %i", async (status) => {
    const controller = new AbortController();
    const body = new ReadableStream<Uint8Array>({
      start(stream) {
        controller.signal.addEventListener("abort", () => stream.error(controller.signal.reason));
      },
    });
    atEnd(() => controller.abort());
    const result = rejection(() => new Response(body, { status }), controller.signal);
    await turns();
    controller.abort(reason);
    expect(await result).toBe(reason);
  });
});
