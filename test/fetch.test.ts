import { describe, expect, test } from "vitest";
import { ActiveSessionError } from "../src/base/error.js";
import { type ActiveSessionOptions, activeSession } from "../src/fetch.js";
import { requestSignal } from "../src/http/middleware.js";
import { createActiveSessions } from "../src/index.js";
import { atEnd } from "./support/cleanup.js";
import { isPending } from "./support/control.js";

function wrapper(options: ActiveSessionOptions = {}) {
  const sessions = createActiveSessions();
  atEnd(() => sessions.close());
  return activeSession(sessions, options);
}

const request = () => new Request("http://server.test/route");
const hello = () => new Response("hello");

describe("a handler with a session", () => {
  test("gives its response at once if it has it at once", async () => {
    const response = wrapper()(hello)(request());
    expect(response).toBeInstanceOf(Response);
    expect(await (response as Response).text()).toBe("hello");
  });

  test("sets the cookie in a response that is there at once", () => {
    const handle = wrapper()((request) => new Response(String(request.activeSession.isAvailable)));
    const response = handle(request()) as Response;
    expect(response.headers.getSetCookie()).toEqual([expect.stringMatching(/^active-session=.{34};/)]);
  });

  test("waits for an identify that is async, and for no other", async () => {
    const userOf = async () => "ann";
    const response = wrapper({ identify: userOf })(hello)(request());
    expect(response).toBeInstanceOf(Promise);
    expect(await (await response).text()).toBe("hello");
    expect(wrapper({ identify: () => "ann" })(hello)(request())).toBeInstanceOf(Response);
  });

  test("rejects with what identify throws, and is not run", async () => {
    const problem = new Error("no such user");
    const identify = () => {
      throw problem;
    };
    const handle = wrapper({ identify })(() => expect.fail("the handler has run"));
    await expect(handle(request())).rejects.toBe(problem);
  });

  const gone = () => new ActiveSessionError("RUNNER_GONE", "Cannot read: gone");
  const handlers = {
    "throws at once": (error: Error) => () => {
      throw error;
    },
    rejects: (error: Error) => async () => {
      throw error;
    },
  };

  test.each(Object.entries(handlers))("that %s answers with the library's own errors", async (_how, failing) => {
    const response = await wrapper()(failing(gone()))(request());
    expect(response.status).toBe(410);
    expect(await response.json()).toMatchObject({ code: "RUNNER_GONE" });
  });

  test.each(Object.entries(handlers))("that %s passes every other error on", async (_how, failing) => {
    const problem = new Error("a bug");
    const handle = wrapper()(failing(problem));
    await expect((async () => handle(request()))()).rejects.toBe(problem);
  });

  test.each(Object.entries(handlers))("that %s has ended its request", async (_how, failing) => {
    let signal: AbortSignal | undefined;
    const handle = wrapper()((request) => {
      signal = requestSignal(request);
      return failing(new Error("a bug"))();
    });
    await expect((async () => handle(request()))()).rejects.toThrow("a bug");
    expect(signal?.aborted).toBe(true);
  });

  test("ends its request when its response is there, not before", async () => {
    let signal: AbortSignal | undefined;
    let respond: (response: Response) => void = () => {};
    const handle = wrapper()((request) => {
      signal = requestSignal(request);
      return new Promise<Response>((resolve) => {
        respond = resolve;
      });
    });
    const response = handle(request()) as Promise<Response>;
    expect(await isPending(response)).toBe(true);
    expect(signal?.aborted).toBe(false);
    respond(hello());
    await response;
    expect(signal?.aborted).toBe(true);
  });
});
