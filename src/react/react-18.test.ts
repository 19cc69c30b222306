// @vitest-environment happy-dom
/** The hooks under React 18: what they ask of React is there too, and means the same. */
import { createElement as h, type ReactElement } from "react";
import { createRoot, hydrateRoot, react, renderToString } from "react18";
import { expect, test, vi } from "vitest";
import { openPage } from "../../test/support/page.js";
import { completed, firstPage, openRunnerServer, piece } from "../../test/support/runner-server.js";
import { createRunnerHooks, type RunnerHandle, type UseRunnerOptions } from "./hooks.js";
import type { Target } from "./runner-view.js";

vi.mock("react", async () => (await import("react18")).react);

type Root = Pick<ReturnType<typeof createRoot>, "render" | "unmount">;
const act = react.act;
const roots: Root[] = [];
const environment = globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean };
environment.IS_REACT_ACT_ENVIRONMENT = true;
const page = openPage(() => {
  for (const root of roots.splice(0)) act(() => root.unmount());
});
const settle = () => act(() => page.settle());
const passing = (ms: number) => act(() => vi.advanceTimersByTimeAsync(ms));

function mount(element: ReactElement): {
  readonly container: Element;
  rerender(element: ReactElement): void;
  unmount(): void;
} {
  const container = document.createElement("div");
  const root = createRoot(container);
  roots.push(root);
  const rerender = (next: ReactElement) => act(() => root.render(h(react.StrictMode, null, next)));
  rerender(element);
  return { container, rerender, unmount: () => act(() => root.unmount()) };
}

function open(options: UseRunnerOptions = {}) {
  const server = openRunnerServer();
  const { useRunner, useRunners } = createRunnerHooks(server.client);
  const handles: RunnerHandle<unknown, unknown>[] = [];
  function One({ target }: { readonly target: Target }) {
    const runner = useRunner(("key" in target ? target.key : target) as string, options);
    handles.push(runner as RunnerHandle<unknown, unknown>);
    return h("b", null, `${runner.items.join()} ${runner.status}`);
  }
  function List() {
    const { runners } = useRunners({ interval: 1000 });
    return h("b", null, `${runners?.length}`);
  }
  const all = (target: Target) => h(react.Suspense, { fallback: "wait" }, h(One, { target }));
  return {
    ...{ server, handles, all, List },
    get now() {
      return handles.at(-1)!;
    },
  };
}

const search = (word: string) => ({ create: "search", input: { word } }) as const;

test("it is React 18 indeed", () => {
  expect(react.version).toMatch(/^18\.3\./);
});

test("strict mode creates one runner, shows it to the end, and stops it when the component goes", async () => {
  const it = open({ onUnmount: "stop" });
  const { container, rerender, unmount } = mount(it.all(search("a")));
  await settle();
  it.server.find("POST /search").respond(firstPage(["a"], {}, "1"), 201);
  await settle();
  it.server.find("GET /1").send(piece(["b"], 2));
  await settle();
  expect(container.textContent).toBe("a,b progressed");
  expect(it.server.asked).toHaveLength(2);
  rerender(it.all(search("b")));
  await passing(0);
  expect(it.server.asked).toContain("POST /1/abort");
  expect(container.textContent).toBe(" undefined");
  unmount();
  await passing(0);
  expect(it.server.asked.at(-1)).toBe("POST /search/abort");
});

test("starting and stopping by hand does so, and nothing after the component has gone", async () => {
  const it = open();
  const { unmount } = mount(it.all({ create: "search", start: "manual" }));
  await settle();
  act(() => it.now.start({ word: "a" }));
  act(() => it.now.start({ word: "b" }));
  await settle();
  expect(it.now.isRunning).toBe(true);
  act(() => it.now.stop());
  await settle();
  expect(it.now).toMatchObject({ isRunning: false, abortReason: "stopped" });
  const asked = it.server.asked.length;
  unmount();
  await passing(0);
  it.now.start({ word: "c" });
  expect(it.server.asked).toHaveLength(asked);
});

test("suspense waits for one answer, however long it takes, and lets go of what no component waits for", async () => {
  const it = open({ suspense: true, onUnmount: "stop" });
  const { container, unmount } = mount(h(react.Fragment, null, it.all(search("a")), it.all(search("a"))));
  await settle();
  for (let waited = 0; waited < 30_000; waited += 5000) await passing(5000);
  expect(container.textContent).toContain("wait");
  expect(it.server.asked).toEqual(["POST /search"]);
  it.server.find("POST /search").respond(firstPage(["a"], { closed: true, status: "completed" }), 201);
  await settle();
  expect(container.textContent).toBe("a completeda completed");
  unmount();
  await passing(0);
  const gone = mount(it.all(search("b")));
  gone.unmount();
  await passing(10_000);
  expect(it.server.asked.at(-1)).toBe("POST /search/abort");
});

test("what is started again is waited for again", async () => {
  const it = open({ suspense: true });
  const { container } = mount(it.all(search("a")));
  const done = { closed: true, status: "completed" };
  await settle();
  it.server.find("POST /search").respond(firstPage(["a"], done), 201);
  await settle();
  act(() => it.now.start({ word: "b" }));
  await settle();
  expect(container.textContent).toContain("wait");
  it.server.find("POST /search").respond(firstPage(["b"], done), 201);
  await settle();
  expect(container.textContent).toBe("b completed");
});

test.each([false, true])("a page takes over what a server has rendered, with suspense: %s", async (suspense) => {
  const it = open({ suspense });
  const container = document.createElement("div");
  vi.stubGlobal("document", undefined); // as on a server
  container.innerHTML = renderToString(it.all({ key: "1" }));
  vi.unstubAllGlobals();
  const element = container.querySelector("b");
  expect(element?.textContent).toBe(" undefined");
  const problems: unknown[] = [];
  await act(async () => {
    roots.push(
      hydrateRoot(container, it.all({ key: "1" }), { onRecoverableError: (problem) => problems.push(problem) }),
    );
  });
  await settle();
  it.server.find("GET /1").send(piece(["a"], 1, completed));
  await settle();
  await settle();
  expect(container.querySelector("b")).toBe(element);
  expect([element?.textContent, problems]).toEqual(["a completed", []]);
});

test("the list is looked at in time", async () => {
  const it = open();
  const { container } = mount(h(it.List));
  await settle();
  it.server.find("GET ").respond([]);
  await settle();
  expect(container.textContent).toBe("0");
  await passing(1000);
  expect(it.server.asked).toEqual(["GET ", "GET "]);
});
