// @vitest-environment happy-dom
import { act, cleanup, render } from "@testing-library/react";
import { Component, type ReactNode, StrictMode, Suspense } from "react";
import { renderToString } from "react-dom/server";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { firstPage } from "../../test/support/runner-server.js";
import { createDeferred, type Deferred } from "../base/async.js";
import { createClient } from "../client/client.js";
import { createRunnerHooks, type UseRunnerOptions } from "./hooks.js";
import type { RunnerView } from "./runner-view.js";

interface Asked {
  readonly what: string;
  readonly init: RequestInit;
  readonly answer: Deferred<Response>;
}

/** A server that the test answers for by hand; what it is asked fails when its signal aborts. */
function openServer() {
  const all: Asked[] = [];
  const fetch = (url: unknown, init: RequestInit = {}) => {
    const path = String(url).replace("http://server.test/runners", "").replace(/\?$/, ""); // an empty query is none
    const what = `${init.method ?? "GET"} ${path}`;
    const answer = createDeferred<Response>();
    init.signal?.addEventListener("abort", () => answer.reject(init.signal?.reason));
    all.push({ what, init, answer });
    return answer.promise;
  };
  const client = createClient("http://server.test/runners", { fetch, connections: Number.POSITIVE_INFINITY });
  return {
    ...createRunnerHooks(client),
    all,
    asked: () => all.map(({ what }) => what),
    /** Answers the newest request that begins so. */
    async answer(what: string, response: Response) {
      await shown();
      const asked = all.findLast((one) => one.what.startsWith(what));
      if (!asked) expect.fail(`nothing has asked ${what}: ${all.map((one) => one.what)}`);
      asked.answer.resolve(response);
      await shown();
    },
  };
}

/** Lets everything happen that is due, a frame included. */
async function shown(): Promise<void> {
  for (let i = 0; i < 3; i++) await act(() => vi.advanceTimersByTimeAsync(20));
}

const key = "0-1-x";
const created = (...[items, more]: Parameters<typeof firstPage>) => {
  const page = firstPage(items, more, key);
  return new Response(JSON.stringify(page), { status: 201, headers: page.headers });
};
const frame = (items: unknown[], next: number, more: object = {}) =>
  `event: data\ndata:${JSON.stringify(items)}\n\nevent: control\ndata:${JSON.stringify({
    ...{ streamNextOffset: String(next), runnerStatus: "progressed", runnerProgress: next },
    ...more,
  })}\n\n`;
const end = { runnerStatus: "completed", streamClosed: true };
const stream = (body: BodyInit) => new Response(body, { headers: { "Content-Type": "text/event-stream" } });
const state = (status: string) =>
  Response.json({ key, kind: "sequence", status, position: 0, progress: { current: 0 } });

/** A stream that stays open. */
function openStream() {
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>({
    start: (given) => {
      controller = given;
    },
  });
  return {
    response: stream(body),
    send: (text: string) => controller!.enqueue(new TextEncoder().encode(text)),
    end: () => controller!.close(),
  };
}

function text({ items, status, error, isRunning, abortReason }: RunnerView<unknown>): string {
  return [items.join(), status, isRunning && "running", error?.code, abortReason].filter(Boolean).join(" ");
}

const warnings: unknown[] = [];
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "requestAnimationFrame", "cancelAnimationFrame", "Date"] });
  warnings.length = 0;
  vi.spyOn(console, "error").mockImplementation((...args) => void warnings.push(args));
});
afterEach(async () => {
  cleanup();
  await act(() => vi.advanceTimersByTimeAsync(20_000));
  vi.restoreAllMocks();
  expect(warnings, "React has warned").toEqual([]);
});

describe("a component that creates a runner", () => {
  function open(options: UseRunnerOptions = {}) {
    const server = openServer();
    function Search({ word }: { readonly word: string }) {
      return <p>{text(server.useRunner({ create: "search", input: { word } }, options))}</p>;
    }
    const view = render(<Search word="needle" />, { wrapper: StrictMode });
    const search = (word: string) => view.rerender(<Search word={word} />);
    return { ...server, ...view, search, text: () => view.container.textContent };
  }

  test("makes one, in strict mode too, and shows its items to the end", async () => {
    const { asked, answer, text } = open();
    expect(text()).toBe("running");
    await answer("POST /search", created(["a", "b"]));
    expect(text()).toBe("a,b progressed running");
    await answer("GET /0-1-x?offset=2", stream(frame(["c"], 3, end)));
    expect(text()).toBe("a,b,c completed");
    expect(asked()).toEqual(["POST /search", "GET /0-1-x?offset=2&live=sse&acks=true"]);
  });

  test("stops it when it goes", async () => {
    const { all, asked, answer, unmount } = open({ onUnmount: "stop" });
    await answer("POST /search", created(["a"]));
    const { response } = openStream();
    await answer("GET /0-1-x", response);
    unmount();
    await shown();
    expect(asked().at(-1)).toBe("POST /0-1-x/abort");
    expect(all.find(({ what }) => what.startsWith("GET"))!.init.signal!.aborted).toBe(true);
    await answer("POST /0-1-x/abort", state("aborted"));
  });

  test("stops it by the key of the creation when it goes before the answer", async () => {
    const { all, asked, unmount } = open({ onUnmount: "stop" });
    unmount();
    await shown();
    expect(asked()).toEqual(["POST /search", "POST /search/abort"]);
    const keys = all.map(({ init }) => new Headers(init.headers).get("Idempotency-Key"));
    expect(keys[0]).toMatch(/^\d+(,\d+){3}$/);
    expect(keys[1]).toBe(keys[0]);
  });

  test("leaves it when it goes, if that is asked for", async () => {
    const { asked, answer, unmount } = open({ onUnmount: "leave" });
    await answer("POST /search", created(["a"]));
    unmount();
    await shown();
    expect(asked().filter((what) => what.includes("abort"))).toEqual([]);
  });

  test("makes another one for another input, stops the first, and shows nothing of it", async () => {
    const { asked, answer, search, text } = open();
    await answer("POST /search", created(["a"]));
    search("hay");
    await shown();
    expect(text()).toBe("running");
    expect(asked().filter((what) => what.startsWith("POST"))).toEqual([
      "POST /search",
      "POST /search",
      "POST /0-1-x/abort",
    ]);
    await answer("POST /search", created(["z"], { closed: true, status: "completed" }));
    expect(text()).toBe("z completed");
  });

  test("shows why it could not be created", async () => {
    const { answer, text } = open();
    const body = '{"code":"INVALID_INPUT","message":"no word"}';
    await answer(
      "POST /search",
      new Response(body, { status: 422, headers: { "Runner-Error-Code": "INVALID_INPUT" } }),
    );
    expect(text()).toBe("INVALID_INPUT");
  });

  test("shows a failure behind the items before it, and an abort with its reason", async () => {
    const failing = open();
    await failing.answer("POST /search", created(["a"]));
    const failure = { runnerStatus: "failed", streamClosed: true, runnerErrorMessage: "The disk is full" };
    await failing.answer("GET /0-1-x", stream(frame(["b"], 2, failure)));
    expect(failing.text()).toBe("a,b failed RUNNER_FAILED");
    cleanup();
    const aborted = open();
    await aborted.answer("POST /search", created(["a"], { status: "aborted", abortReason: "idle", closed: true }));
    expect(aborted.text()).toBe("a aborted idle");
  });

  test("keeps only as many items as it wants", async () => {
    const { answer, text } = open({ keep: 2 });
    await answer("POST /search", created(["a", "b", "c"]));
    expect(text()).toBe("b,c progressed running");
  });
});

describe("a component that creates by hand", () => {
  function open() {
    const server = openServer();
    function Search() {
      const search = server.useRunner({ create: "search", start: "manual" });
      return (
        <>
          <button type="button" onClick={() => search.start({ word: "needle" })}>
            start
          </button>
          <button type="button" onClick={search.stop}>
            stop
          </button>
          <p>{text(search)}</p>
        </>
      );
    }
    const view = render(<Search />, { wrapper: StrictMode });
    const press = async (name: string) => {
      act(() => view.getByText(name).click());
      await shown();
    };
    return { ...server, ...view, press, text: () => view.container.querySelector("p")!.textContent };
  }

  test("asks for nothing before it is told to, then with the input that it is given", async () => {
    const { all, asked, press, text } = open();
    await shown();
    expect([asked(), text()]).toEqual([[], ""]);
    await press("start");
    expect(all[0]!.init.body).toBe('{"word":"needle"}');
    expect(text()).toBe("running");
  });

  test("stops before the answer, and shows that", async () => {
    const { asked, press, text } = open();
    await press("start");
    await press("stop");
    expect(asked()).toEqual(["POST /search", "POST /search/abort"]);
    expect(text()).toBe("stopped");
  });

  test("stops what runs, and shows what the server says", async () => {
    const { asked, answer, press, text } = open();
    await press("start");
    await answer("POST /search", created(["a"]));
    const { response, send } = openStream();
    await answer("GET /0-1-x", response);
    await press("stop");
    expect(asked().at(-1)).toBe("POST /0-1-x/abort");
    send(frame([], 1, { runnerStatus: "aborted", runnerAbortReason: "stopped", streamClosed: true }));
    await shown();
    expect(text()).toBe("a aborted stopped");
  });

  test("starts again: what ran is stopped, and nothing of it is shown, however late it answers", async () => {
    const { all, asked, answer, press, text } = open();
    await press("start");
    await press("start");
    expect(asked().sort()).toEqual(["POST /search", "POST /search", "POST /search/abort"]);
    all[0]!.answer.resolve(created(["old"]));
    await shown();
    expect(text()).toBe("running");
    await answer("POST /search", new Response());
    expect(text()).not.toContain("old");
  });
});

describe("a component that follows a runner", () => {
  function open(firstKey: string | undefined, options: UseRunnerOptions = {}) {
    const server = openServer();
    function Follow({ of }: { readonly of: string | undefined }) {
      return <p>{text(server.useRunner<string>(of, options))}</p>;
    }
    const view = render(<Follow of={firstKey} />, { wrapper: StrictMode });
    return {
      ...server,
      ...view,
      follow: (of: string | undefined) => view.rerender(<Follow of={of} />),
      text: () => view.container.textContent,
    };
  }

  test("does nothing without a key, follows when there is one, and another when it is another", async () => {
    const { asked, answer, follow, text } = open(undefined);
    await shown();
    expect([asked(), text()]).toEqual([[], ""]);
    follow("1");
    await shown();
    await answer("GET /1", stream(frame(["a"], 1, end)));
    expect(text()).toBe("a completed");
    follow("2");
    await answer("GET /2", stream(frame(["b"], 1, end)));
    expect(text()).toBe("b completed");
  });

  test("stops nothing when it goes, and holds no connection", async () => {
    const { all, asked, unmount } = open("1");
    await shown();
    unmount();
    await shown();
    expect(asked()).toEqual(["GET /1?offset=-1&live=sse&acks=true"]);
    expect(all[0]!.init.signal!.aborted).toBe(true);
  });

  test("shows that the runner is gone", async () => {
    const { answer, text } = open("1");
    await answer("GET /1", new Response("", { status: 410, headers: { "Runner-Error-Code": "RUNNER_GONE" } }));
    expect(text()).toBe("RUNNER_GONE");
  });

  test("renders once a frame, however much comes, and shows all of it", async () => {
    const server = openServer();
    let renders = 0;
    function Count() {
      renders++;
      const { items } = server.useRunner<number>("1");
      return <p>{items.length}</p>;
    }
    const { container } = render(<Count />);
    await shown();
    const { response, send, end } = openStream();
    await server.answer("GET /1", response);
    renders = 0;
    for (let n = 0; n < 100; n++) send(frame(Array(100).fill(n), (n + 1) * 100));
    await shown();
    expect(container.textContent).toBe("10000");
    expect(renders).toBeLessThanOrEqual(4);
    end();
  });

  test("is told by a timer where the page has no frames", async () => {
    vi.stubGlobal("requestAnimationFrame", () => 0);
    const { answer, text } = open("1");
    await shown();
    await answer("GET /1", stream(frame(["a"], 1, end)));
    await act(() => vi.advanceTimersByTimeAsync(250));
    expect(text()).toBe("a completed");
    vi.unstubAllGlobals();
  });
});

describe("with suspense", () => {
  class Boundary extends Component<{ readonly children: ReactNode }> {
    override state = { error: undefined as { code?: string } | undefined };
    static getDerivedStateFromError(error: { code?: string }) {
      return { error };
    }
    override render() {
      return this.state.error ? <p>failed: {this.state.error.code}</p> : this.props.children;
    }
  }
  function open(target: string | null) {
    const server = openServer();
    const Follow = () => <p>{text(server.useRunner<string>(target, { suspense: true }))}</p>;
    const view = render(
      <Boundary>
        <Suspense fallback={<p>wait</p>}>
          <Follow />
          <Follow />
        </Suspense>
      </Boundary>,
    );
    return { ...server, ...view, text: () => [...view.container.querySelectorAll("p")].map((p) => p.textContent) };
  }
  const visible = (texts: (string | null)[]) => texts.filter((one) => one !== "wait" && one !== "");

  test("components wait for the first answer, which they ask for once", async () => {
    const { asked, answer, text } = open("1");
    await shown();
    expect(text()).toEqual(["wait"]);
    await answer("GET /1", stream(frame(["a"], 1, end)));
    expect(visible(text())).toEqual(["a completed", "a completed"]);
    expect(asked()).toHaveLength(1);
  });

  test("what prevents the first answer reaches the error boundary", async () => {
    const { answer, text } = open("1");
    await answer("GET /1", new Response("", { status: 410, headers: { "Runner-Error-Code": "RUNNER_GONE" } }));
    expect(text()).toEqual(["failed: RUNNER_GONE"]);
    warnings.length = 0; // React tells of what a boundary has caught
  });

  test("nothing is waited for without a key", async () => {
    const { asked, text } = open(null);
    await shown();
    expect([asked(), text()]).toEqual([[], ["", ""]]);
  });

  test("what a component that went has asked for is let go of", async () => {
    const { all, unmount } = open("1");
    unmount();
    await act(() => vi.advanceTimersByTimeAsync(10_000));
    expect(all[0]!.init.signal!.aborted).toBe(true);
  });
});

test("on a server nothing is asked for", () => {
  const { useRunner, useRunners, asked } = openServer();
  function Page() {
    return `${text(useRunner({ create: "search" }))}${text(useRunner("1"))}${useRunners().runners?.length}`;
  }
  expect(renderToString(<Page />)).toBe("undefined");
  expect(asked()).toEqual([]);
});

describe("the list of runners", () => {
  function open() {
    const server = openServer();
    function List() {
      const { runners, error, refresh } = server.useRunners();
      return (
        <button type="button" onClick={() => void refresh()}>
          {runners?.map((runner) => runner.key).join() ?? "nothing yet"} {error?.code}
        </button>
      );
    }
    const view = render(<List />, { wrapper: StrictMode });
    return { ...server, ...view, text: () => view.container.textContent?.trim() };
  }
  const list = (...keys: string[]) => Response.json(keys.map((one) => ({ key: one })));

  test("is looked at every five seconds, and when the application wants to", async () => {
    const { asked, answer, text, container } = open();
    expect(text()).toBe("nothing yet");
    await answer("GET", list("1"));
    expect(text()).toBe("1");
    await act(() => vi.advanceTimersByTimeAsync(5000));
    await answer("GET", list("1", "2"));
    expect(text()).toBe("1,2");
    act(() => container.querySelector("button")!.click());
    await answer("GET", list());
    expect(text()).toBe("");
    expect(asked()).toEqual(["GET ", "GET ", "GET "]);
  });

  test("keeps what is known when it cannot be looked at, and shows only the latest look", async () => {
    const { all, answer, text, container } = open();
    await answer("GET", list("1"));
    act(() => container.querySelector("button")!.click());
    await answer("GET", new Response("busy", { status: 503 }));
    expect(text()).toBe("1 SERVER_UNAVAILABLE");
    act(() => container.querySelector("button")!.click());
    act(() => container.querySelector("button")!.click());
    await answer("GET", list("3"));
    all.at(-2)!.answer.resolve(list("2"));
    await shown();
    expect(text()).toBe("3");
  });

  test("is not looked at after the component has unmounted", async () => {
    const { asked, answer, unmount } = open();
    await answer("GET", list("1"));
    unmount();
    await act(() => vi.advanceTimersByTimeAsync(20_000));
    expect(asked()).toHaveLength(1);
  });
});
