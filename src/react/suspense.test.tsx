// @vitest-environment happy-dom
/** Components that wait in a boundary for the first answer: which requests are made, shared and given up, and what the boundary gets. */
import { act, cleanup, render } from "@testing-library/react";
import { Component, type ReactNode, StrictMode, Suspense } from "react";
import { expect, test, vi } from "vitest";
import { openPage } from "../../test/support/page.js";
import { completed, firstPage, openRunnerServer, piece } from "../../test/support/runner-server.js";
import { createRunnerHooks, type RunnerHandle, type UseRunnerOptions } from "./hooks.js";
import type { Target } from "./runner-view.js";

const page = openPage(cleanup);

/** Shows what it has caught, until it is told to try again. */
class Boundary extends Component<{ readonly children: ReactNode }, { error: { readonly code: string } | undefined }> {
  override state = { error: undefined };
  static getDerivedStateFromError(error: { readonly code: string }) {
    return { error };
  }
  tryAgain = () => this.setState({ error: undefined });
  override render() {
    const { error } = this.state as { error: { readonly code: string } | undefined };
    return error ? <i>{error.code}</i> : this.props.children;
  }
}

/** A page whose components use these targets, all in one boundary for waiting and one for errors. */
function open(first: readonly Target[], options: UseRunnerOptions = {}) {
  const server = openRunnerServer();
  const { useRunner } = createRunnerHooks(server.client);
  const handles: RunnerHandle<unknown, unknown>[] = [];
  let boundary: Boundary | null = null;
  let renders = 0;
  function One({ target, index }: { readonly target: Target; readonly index: number }) {
    renders++;
    const runner = useRunner(("key" in target ? target.key : target) as string, { suspense: true, ...options });
    handles[index] = runner as RunnerHandle<unknown, unknown>;
    const { items, status, isRunning } = runner;
    return <b>{[items.join(), status, isRunning && "running"].filter(Boolean).join(" ")}</b>;
  }
  const all = (targets: readonly Target[]) => (
    <StrictMode>
      <Boundary
        ref={(mounted) => {
          boundary = mounted;
        }}
      >
        <Suspense fallback={<u>wait</u>}>
          {targets.map((target, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: the place is what makes a component the same
            <One key={index} target={target} index={index} />
          ))}
        </Suspense>
      </Boundary>
    </StrictMode>
  );
  const { rerender, unmount, container } = render(all(first));
  const settle = () => act(() => page.settle());
  return {
    ...{ server, settle, unmount, handles },
    get renders() {
      return renders;
    },
    /** What is seen: `b` components, `u` what waits, `i` an error. */
    get seen() {
      const isHidden = (element: Element) => (element as HTMLElement).style.display === "none";
      return [...container.children]
        .filter((element) => !isHidden(element))
        .map((element) => element.outerHTML.replaceAll(/ style="[^"]*"/g, ""));
    },
    async use(...targets: Target[]) {
      rerender(all(targets));
      await settle();
      await act(() => vi.advanceTimersByTimeAsync(0));
      await settle();
    },
    async pass(ms: number) {
      await act(() => vi.advanceTimersByTimeAsync(ms));
      await settle();
    },
    async tryAgain() {
      await act(() => vi.advanceTimersByTimeAsync(0));
      act(() => boundary!.tryAgain());
      await settle();
    },
    async do(action: () => void) {
      act(action);
      await settle();
    },
  };
}

const search = (word: string) => ({ create: "search", input: { word } }) as const;
const manual = { create: "search", start: "manual" } as const;
const done = { closed: true, status: "completed" };

test("a creation is waited for, made once, and shown from its first page on", async () => {
  const it = open([search("a")]);
  await it.settle();
  expect(it.seen).toEqual(["<u>wait</u>"]);
  it.server.find("POST /search").respond(firstPage(["a"]), 201);
  await it.settle();
  expect(it.seen).toEqual(["<b>a progressed running</b>"]);
  it.server.find("GET /").send(piece(["b"], 2, completed));
  await it.settle();
  expect(it.seen).toEqual(["<b>a,b completed</b>"]);
  expect(it.server.asked).toHaveLength(2);
});

test("components with the same target share one runner, until the last of them has gone", async () => {
  const it = open([search("a"), search("b"), search("a")], { onUnmount: "stop" });
  await it.settle();
  it.server.all[0]!.respond(firstPage(["a"], {}, "1"), 201);
  await it.settle();
  it.server.find("POST /search").respond(firstPage(["b"], {}, "2"), 201);
  await it.settle();
  expect(it.seen).toEqual(["a", "b", "a"].map((item) => `<b>${item} progressed running</b>`));
  const creations = it.server.all.filter(({ what }) => what === "POST /search");
  expect(creations.map(({ body }) => body)).toEqual([{ word: "a" }, { word: "b" }]);
  await it.use(search("a"));
  expect(it.server.asked.filter((what) => what.includes("abort"))).toEqual(["POST /2/abort"]);
  expect(it.server.find("GET /1").signal?.aborted).toBe(false);
  it.unmount();
  await it.pass(0);
  expect(it.server.asked.filter((what) => what.includes("abort"))).toEqual(["POST /2/abort", "POST /1/abort"]);
});

test("another target suspends again, and the one before is stopped", async () => {
  const it = open([search("a")]);
  await it.settle();
  it.server.find("POST /search").respond(firstPage(["a"], {}, "1"), 201);
  await it.settle();
  await it.use(search("b"));
  expect(it.seen).toEqual(["<u>wait</u>"]);
  it.server.find("POST /search").respond(firstPage(["b"], done, "2"), 201);
  await it.settle();
  await it.pass(0);
  expect(it.seen).toEqual(["<b>b completed</b>"]);
  expect(it.server.asked).toContain("POST /1/abort");
});

test("an error reaches the boundary, and another try asks again", async () => {
  const it = open([search("a")]);
  await it.settle();
  it.server.find("POST /search").refuse(422, "INVALID_INPUT");
  await it.settle();
  expect(it.seen).toEqual(["<i>INVALID_INPUT</i>"]);
  await it.tryAgain();
  expect(it.seen).toEqual(["<u>wait</u>"]);
  expect(it.server.asked).toEqual(["POST /search", "POST /search"]);
  it.server.find("POST /search").respond(firstPage(["a"], done), 201);
  await it.settle();
  expect(it.seen).toEqual(["<b>a completed</b>"]);
  expectBoundaryToHaveTold();
});

test("an error behind the first answer is shown by the component itself", async () => {
  const it = open([{ key: "1" }]);
  await it.settle();
  it.server.find("GET /").send(piece(["a"], 1, { runnerStatus: "failed", streamClosed: true }));
  await it.settle();
  expect(it.seen).toEqual(["<b>a failed</b>"]);
  expect(it.handles[0]!.error?.code).toBe("RUNNER_FAILED");
});

test("a creation that is given up before its answer is stopped 10 s later, and leaves nothing", async () => {
  const it = open([search("a")], { onUnmount: "stop" });
  await it.settle();
  it.unmount();
  await it.pass(9_999);
  expect(it.server.asked).toEqual(["POST /search"]);
  await it.pass(1);
  expect(it.server.asked).toEqual(["POST /search", "POST /search/abort"]);
  expect(it.server.all[0]!.signal?.aborted).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

test("a runner whose answer comes when no component waits any more is stopped", async () => {
  const it = open([search("a")], { onUnmount: "stop" });
  await it.settle();
  it.unmount();
  it.server.find("POST /search").respond(firstPage(["a"]), 201);
  await it.settle();
  await it.pass(10_000);
  expect(it.server.asked).toContain("POST /0-1-x/abort");
  expect(it.server.find("GET /").signal?.aborted).toBe(true);
});

test("an answer that takes longer than that is still waited for, by those who are still there", async () => {
  const it = open([search("a"), { key: "1" }]);
  await it.settle();
  await it.pass(4000);
  for (let waited = 0; waited < 5; waited++) {
    const following = it.server.find("GET /1");
    if (!following.signal?.aborted) following.send(":\n\n"); // only a heartbeat
    await it.pass(5000);
  }
  expect(it.seen).toEqual(["<u>wait</u>"]);
  const asked = it.server.asked.filter((what) => !what.includes("/ack?")); // signs of life
  expect(asked).toEqual(["POST /search", "GET /1?offset=-1&live=sse&acks=true"]);
  it.server.find("POST /search").respond(firstPage(["a"], done), 201);
  it.server.find("GET /1").send(piece(["b"], 1, completed));
  await it.settle();
  expect(it.seen).toEqual(["<b>a completed</b>", "<b>b completed</b>"]);
});

test("what is started again is waited for again, without being rendered all the time", async () => {
  const it = open([search("a")]);
  await it.settle();
  it.server.find("POST /search").respond(firstPage(["a"], {}, "1"), 201);
  await it.settle();
  await it.do(() => it.handles[0]!.start({ word: "b" }));
  const { renders } = it;
  expect(it.seen).toEqual(["<u>wait</u>"]);
  await it.settle();
  await it.settle();
  expect(it.renders).toBe(renders);
  it.server.find("POST /search").respond(firstPage(["b"], done, "2"), 201);
  await it.settle();
  expect(it.seen).toEqual(["<b>b completed</b>"]);
});

test("without a key nothing is waited for, nor asked", async () => {
  const it = open([{ key: null }, { key: undefined }, { key: "" }]);
  await it.pass(10_000);
  expect(it.seen).toEqual(["<b></b>", "<b></b>", "<b></b>"]);
  expect(it.server.asked).toEqual([]);
});

test("what is started by hand is not waited for, and is not shared", async () => {
  const it = open([manual, manual]);
  await it.settle();
  expect(it.seen).toEqual(["<b></b>", "<b></b>"]);
  await it.do(() => it.handles[0]!.start({ word: "a" }));
  expect(it.seen).toEqual(["<b>running</b>", "<b></b>"]);
  it.server.find("POST /search").refuse(422, "INVALID_INPUT");
  await it.settle();
  expect(it.handles.map(({ error }) => error?.code)).toEqual(["INVALID_INPUT", undefined]);
  await it.do(() => it.handles[0]!.start({ word: "b" }));
  it.server.find("POST /search").respond(firstPage(["b"]), 201);
  await it.settle();
  expect(it.seen).toEqual(["<b>b progressed running</b>", "<b></b>"]);
});

test("the page that shows no frames is told of the first answer by timer", async () => {
  vi.stubGlobal("requestAnimationFrame", () => 0);
  const it = open([{ key: "1" }]);
  await it.settle();
  it.server.find("GET /").send(piece(["a"], 1, completed));
  await it.settle();
  expect(it.seen).toEqual(["<u>wait</u>"]);
  await it.pass(250);
  expect(it.seen).toEqual(["<b>a completed</b>"]);
});

/** React says so on the console; anything else there fails the test. */
function expectBoundaryToHaveTold(): void {
  expect(page.warnings.splice(0).join()).toContain("Boundary");
}
