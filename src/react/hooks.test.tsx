// @vitest-environment happy-dom
import { act, cleanup, render } from "@testing-library/react";
import { StrictMode } from "react";
import { afterEach, expect, test } from "vitest";
import { createClient } from "../client/client.js";
import { createRunnerHooks } from "./hooks.js";

afterEach(cleanup);

const state = { key: "0-1-x", name: "search", kind: "sequence", status: "progressed", progress: { current: 2 } };
const firstPage = JSON.stringify({ ...state, offset: 0, position: 2, closed: false, items: ["a", "b"] });
const control = { streamNextOffset: "3", runnerStatus: "completed", runnerProgress: 3, streamClosed: true };
const rest = `event: data\ndata:["c"]\n\nevent: control\ndata:${JSON.stringify(control)}\n\n`;

test("a component creates one runner, in strict mode too, and shows its items to the end", async () => {
  const asked: string[] = [];
  const fetch = async (url: unknown, init: RequestInit = {}) => {
    asked.push(`${init.method ?? "GET"} ${url}`);
    if (init.method === "POST") return new Response(firstPage, { status: 201 });
    return new Response(rest, { headers: { "Content-Type": "text/event-stream" } });
  };
  const client = createClient("http://server.test/runners", { fetch, connections: Number.POSITIVE_INFINITY });
  const { useRunner } = createRunnerHooks(client);
  function Search() {
    const { items, status, isRunning } = useRunner({ create: "search", input: { word: "x" } });
    return <p>{`${items.join()} ${status} ${isRunning}`}</p>;
  }
  const { container } = render(<Search />, { wrapper: StrictMode });
  while (container.textContent !== "a,b,c completed false") await act(() => new Promise(requestAnimationFrame));
  expect(asked).toEqual([
    "POST http://server.test/runners/search",
    "GET http://server.test/runners/0-1-x?offset=2&live=sse&acks=true",
  ]);
});
