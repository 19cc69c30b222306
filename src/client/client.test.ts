import { afterEach, describe, expect, test, vi } from "vitest";
import { CodedError } from "../base/coded-error.js";
import { headerNames } from "../wire/names.js";
import { createClient, type PageOptions } from "./client.js";
import type { ClientOptions } from "./request.js";

interface Asked {
  readonly url: string;
  readonly init: RequestInit;
}

/** A client whose requests are all answered by `answer`; tells what was asked. */
function clientOf(answer: () => Response, options: ClientOptions = {}) {
  const asked: Asked[] = [];
  const send: typeof fetch = async (url, init = {}) => {
    asked.push({ url: String(url), init });
    return answer();
  };
  return { asked, client: createClient("http://server.test/runners", { fetch: send, ...options }) };
}

function page(items: unknown[], headers: Record<string, string> = {}): Response {
  const always = {
    [headerNames.nextOffset]: "0000000000000005",
    [headerNames.status]: "progressed",
    [headerNames.progress]: "9",
  };
  return new Response(JSON.stringify(items), { headers: { ...always, ...headers } });
}

/** What a synchronous call throws. */
function thrownBy(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return expect.fail("nothing was thrown");
}

const state = { key: "1", kind: "sequence", status: "stalled", position: 2, progress: { current: 2 } };
const gone = () => new Response('{"code":"RUNNER_GONE","message":"gone"}', { status: 410 });

afterEach(() => {
  vi.unstubAllGlobals();
});

describe("createClient", () => {
  test.each(["/runners", "runners", "", "file:///runners"])("refuses %j where there is no page", (url) => {
    const error = thrownBy(() => createClient(url));
    expect(error).toMatchObject({ code: "INVALID_OPTION" });
    expect((error as Error).message).toBe(`The URL must be absolute outside of a page, received ${url}`);
  });

  test.each([undefined, null, 7, new URL("http://server.test/runners")])("refuses %s, which is no text", (url) => {
    vi.stubGlobal("location", { href: "http://page.test/" });
    const error = thrownBy(() => createClient(url as unknown as string));
    expect(CodedError.is(error)).toBe(true);
    expect(error).toMatchObject({ code: "INVALID_OPTION" });
  });

  test("takes a relative URL within a page, and leaves it to fetch", async () => {
    vi.stubGlobal("location", { href: "http://page.test/" });
    const urls: string[] = [];
    const send: typeof fetch = async (url) => {
      urls.push(String(url));
      return page([]);
    };
    await createClient("/runners", { fetch: send }).read("1-2-abc");
    expect(urls).toEqual(["/runners/1-2-abc?offset=-1"]);
  });

  test.each(["http://server.test/runners", "HTTPS://server.test/runners//", "http://server.test/runners/"])(
    "takes %s; slashes at its end do not matter",
    async (url) => {
      const urls: string[] = [];
      const send: typeof fetch = async (asked) => {
        urls.push(String(asked));
        return page([]);
      };
      await createClient(url, { fetch: send }).read("1");
      expect(urls).toEqual([`${url.replace(/\/+$/, "")}/1?offset=-1`]);
    },
  );
});

describe("every request", () => {
  test("carries headers and credentials", async () => {
    const { client, asked } = clientOf(() => Response.json(state), {
      headers: { "x-user": "ann" },
      credentials: "include",
    });
    await client.state("1");
    await client.abort("1");
    await client.remove("1");
    for (const { init } of asked) {
      expect(init.credentials).toBe("include");
      expect(new Headers(init.headers).get("x-user")).toBe("ann");
    }
    expect(asked).toHaveLength(3);
  });

  test("cannot reach another address by way of the key", async () => {
    const { client, asked } = clientOf(() => page([]));
    await client.read("../admin?x=1#y");
    expect(asked.map(({ url }) => url)).toEqual(["http://server.test/runners/..%2Fadmin%3Fx%3D1%23y?offset=-1"]);
  });

  test("throws RUNNER_GONE for a runner that is not there", async () => {
    const { client } = clientOf(gone);
    for (const call of [client.read("1"), client.state("1"), client.abort("1"), client.remove("1")]) {
      await expect(call).rejects.toMatchObject({ code: "RUNNER_GONE" });
    }
  });
});

describe("read", () => {
  test.each<[PageOptions, string]>([
    [{}, "?offset=-1"],
    [{ offset: 0 }, "?offset=0"],
    [{ offset: 20, maxItems: 5 }, "?offset=20&max-items=5"],
    [{ offset: 20, minItems: 5 }, "?offset=20&live=long-poll&min-items=5"],
    [{ minItems: 1, timeout: 60 }, "?offset=-1&live=long-poll&min-items=1&timeout=60"],
    [{ timeout: 60 }, "?offset=-1"],
  ])("with %j asks for %s", async (options, query) => {
    const { client, asked } = clientOf(() => page([]));
    await client.read("1", options);
    expect(asked[0]!.url).toBe(`http://server.test/runners/1${query}`);
  });

  test("that waited in vain gives no items", async () => {
    const headers = { [headerNames.nextOffset]: "7", [headerNames.status]: "stalled", [headerNames.progress]: "7" };
    const { client } = clientOf(() => new Response(null, { status: 204, headers }));
    expect(await client.read("1", { offset: 7, minItems: 1 })).toEqual({
      items: [],
      position: 7,
      status: "stalled",
      closed: false,
    });
  });

  test("gives the items, where the next page begins, and what holds for the page", async () => {
    const { client } = clientOf(() => page([{ id: 1 }, { id: 2 }]));
    expect(await client.read<{ id: number }>("1")).toEqual({
      items: [{ id: 1 }, { id: 2 }],
      position: 5,
      status: "progressed",
      closed: false,
    });
  });

  test("tells that nothing will follow", async () => {
    const { client } = clientOf(() => page([], { [headerNames.closed]: "true", [headerNames.status]: "completed" }));
    expect(await client.read("1")).toMatchObject({ closed: true, status: "completed" });
  });

  test("throws UNEXPECTED_RESPONSE for an answer that is none of ours", async () => {
    const { client } = clientOf(() => new Response("<h1>Please log in</h1>"));
    await expect(client.read("1")).rejects.toMatchObject({ code: "UNEXPECTED_RESPONSE" });
  });

  test("throws when the page was cut off, and gives nothing of it", async () => {
    const { client } = clientOf(
      () => new Response('[{"id":1},{"i', { headers: { [headerNames.nextOffset]: "0000000000000002" } }),
    );
    await expect(client.read("1")).rejects.toThrow();
  });

  test("throws the reason of its signal", async () => {
    const reason = new Error("the user has left");
    const send: typeof fetch = async (_url, init) => {
      init?.signal?.throwIfAborted();
      return page([]);
    };
    const client = createClient("http://server.test/runners", { fetch: send });
    await expect(client.read("1", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  test.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, "5"])("refuses the offset %s", async (offset) => {
    const { client, asked } = clientOf(() => page([]));
    await expect(client.read("1", { offset: offset as number })).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(asked).toEqual([]);
  });
});

describe("state, abort and remove", () => {
  test("state asks for the state", async () => {
    const { client, asked } = clientOf(() => Response.json(state));
    expect(await client.state("1")).toEqual(state);
    expect(asked[0]!.url).toBe("http://server.test/runners/1/state");
    expect(asked[0]!.init.method ?? "GET").toBe("GET");
  });

  test("throws UNEXPECTED_RESPONSE for a state that is none of ours", async () => {
    const { client } = clientOf(() => new Response("<h1>Please log in</h1>"));
    await expect(client.state("1")).rejects.toMatchObject({ code: "UNEXPECTED_RESPONSE" });
  });

  test("abort gives the state that the runner then has", async () => {
    const { client, asked } = clientOf(() => Response.json({ ...state, status: "aborted" }));
    expect(await client.abort("1")).toMatchObject({ status: "aborted" });
    expect(asked).toMatchObject([{ url: "http://server.test/runners/1/abort", init: { method: "POST" } }]);
  });

  test("remove deletes", async () => {
    const { client, asked } = clientOf(() => new Response(null, { status: 204 }));
    expect(await client.remove("1")).toBeUndefined();
    expect(asked).toMatchObject([{ url: "http://server.test/runners/1", init: { method: "DELETE" } }]);
  });
});

describe("follow", () => {
  test("asks for nothing before it is iterated", () => {
    const { client, asked } = clientOf(() => page([]));
    const follower = client.follow("1", { offset: 5 });
    expect(follower.connection).toBe("closed");
    expect(asked).toEqual([]);
  });

  test.each([-1, 1.5, Number.NaN, 2 ** 53])("refuses the offset %d at once", (offset) => {
    const { client } = clientOf(() => page([]));
    expect(thrownBy(() => client.follow("1", { offset }))).toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  test("asks the headers function anew for each connection", async () => {
    let count = 0;
    const { client, asked } = clientOf(() => page([count], count < 3 ? {} : { [headerNames.closed]: "true" }), {
      headers: () => ({ authorization: `token ${++count}` }),
    });
    const items: number[] = [];
    for await (const item of client.follow<number>("1", { live: "long-poll" })) items.push(item);
    expect(items).toEqual([1, 2, 3]);
    const sent = asked.map(({ init }) => new Headers(init.headers).get("authorization"));
    expect(sent).toEqual(["token 1", "token 2", "token 3"]);
  });
});

test.each(["20", null, "", true])(
  "following refuses the offset %j, which sessionStorage or a typo may give",
  (offset) => {
    const client = createClient("http://server.test/runners");
    expect(() => client.follow("0-1-x", { offset: offset as never })).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT" }),
    );
  },
);
