/** The adapter on every version of Express that it is made for: the same application, the same answers. */
import { createParser } from "eventsource-parser";
import express5, { type ErrorRequestHandler } from "express";
import express4 from "express4";
import { describe, expect, test } from "vitest";
import { createClient } from "../src/client.js";
import { activeSession, runnerRouter } from "../src/express.js";
import { openHost, PushSource } from "./support/control.js";
import { listen } from "./support/server.js";

const showError: ErrorRequestHandler = (error, _request, response, _next) => {
  response.status(error.status ?? 500).json({ code: error.code, expose: error.expose, message: error.message });
};

async function open(express: typeof express5) {
  const sessions = openHost();
  const source = new PushSource<number>();
  const app = express();
  app.use(activeSession(sessions, { identify: (request) => request.headers["x-user"] }));
  const api = express.Router();
  api.use("/runners", runnerRouter(sessions));
  api.post("/start", express.json(), (request, response, next) => {
    const start = async () => {
      const runner = await request.activeSession.createSequenceRunner(source, { retain: "all" });
      source.push(...request.body.items);
      const page = await runner.getRequired({ advance: 2 });
      response
        .status(201)
        .location(`${request.baseUrl}/runners/${runner.key}`)
        .json({ key: runner.key, ...page });
    };
    start().catch(next);
  });
  api.get("/wrong", (request, _response, next) => {
    request.activeSession.createSequenceRunner(5 as never).catch(next);
  });
  app.use("/api/v1", api);
  app.use(showError);
  const { url } = await listen(app as never);
  const headers = { "x-user": "ann" };
  const post = (path: string, body: unknown) =>
    fetch(url + path, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  return { url, headers, source, sessions, post };
}

describe.each([
  ["5", express5],
  ["4.18", express4 as unknown as typeof express5],
])("Express %s", (_version, express) => {
  test("first page in the answer, the rest by page, long-poll and SSE below a nested mount", async () => {
    const { url, headers, source, post } = await open(express);
    const started = await post("/api/v1/start", { items: [1, 2, 3] });
    const { key, result } = (await started.json()) as { key: string; result: number[] };
    expect([started.status, result]).toEqual([201, [1, 2]]);
    const at = `${url}${started.headers.get("location")}`;
    expect(at).toBe(`${url}/api/v1/runners/${key}`);
    expect(await (await fetch(at, { headers })).json()).toEqual([1, 2, 3]);
    const waiting = fetch(`${at}?offset=0000000000000003&live=long-poll`, { headers });
    source.push(4);
    expect(await (await waiting).json()).toEqual([4]);
    source.end();
    const names: (string | undefined)[] = [];
    const parser = createParser({ onEvent: ({ event }) => void names.push(event) });
    parser.feed(await (await fetch(`${at}?offset=-1&live=sse`, { headers })).text());
    expect(names).toEqual(["data", "control"]);
    expect((await fetch(at, { method: "HEAD", headers })).headers.get("runner-status")).toBe("completed");
  });

  test("our client follows to the end and stops what it follows", async () => {
    const { url, headers, source, post } = await open(express);
    const { key } = (await (await post("/api/v1/start", { items: [1, 2, 3] })).json()) as { key: string };
    const client = createClient(`${url}/api/v1/runners`, { headers });
    const seen: number[] = [];
    for await (const item of client.follow<number>(key)) {
      seen.push(item);
      if (item === 3) source.push(4);
      if (item === 4) source.end();
    }
    expect(seen).toEqual([1, 2, 3, 4]);
    expect(await client.state(key)).toMatchObject({ status: "completed" });
    await client.remove(key);
    await expect(client.state(key)).rejects.toMatchObject({ code: "RUNNER_GONE" });
  });

  test("what goes wrong arrives at the error handler with status, code, and whether the client may be told", async () => {
    const { url, headers } = await open(express);
    const wrong = await fetch(`${url}/api/v1/wrong`, { headers });
    expect([wrong.status, await wrong.json()]).toEqual([
      500,
      { code: "INVALID_SOURCE", expose: false, message: expect.stringMatching(/^Cannot create a sequence runner: /) },
    ]);
  });

  test("answers in our own form where a runner is not there, and passes on what is no runner's address", async () => {
    const { url, headers } = await open(express);
    const unknown = await fetch(`${url}/api/v1/runners/nonsense`, { headers });
    expect([unknown.status, await unknown.json()]).toMatchObject([404, { code: "RUNNER_NOT_FOUND" }]);
    const elsewhere = await fetch(`${url}/api/v1/runners/one/two/three`, { headers });
    expect([elsewhere.status, elsewhere.headers.get("content-type")]).toEqual([404, "text/html; charset=utf-8"]);
  });
});
