/** Mistakes in code that uses the library: each is told at once, with what to write instead. */
import express from "express";
import { describe, expect, test, vi } from "vitest";
import { createClient } from "../src/client.js";
import { requestSignal, runnerRouter } from "../src/express.js";
import { createActiveSessions, defineProcessRunner, defineSequenceRunner } from "../src/index.js";
import { atEnd } from "./support/cleanup.js";
import { openHost } from "./support/control.js";
import { listen, openApp } from "./support/server.js";

describe("a missing middleware", () => {
  test("is named by the routes of runners and by requestSignal, with what to add", async () => {
    const sessions = openHost();
    const app = express();
    app.use("/runners", runnerRouter(sessions));
    app.get("/signal", (request) => void requestSignal(request));
    app.use(((error, _request, response, _next) => {
      response.status(500).json({ code: error.code, message: error.message });
    }) as express.ErrorRequestHandler);
    const { url } = await listen(app);
    for (const path of ["/runners/1", "/signal"]) {
      expect(await (await fetch(url + path)).json()).toMatchObject({
        code: "NOT_INSTALLED",
        message: expect.stringContaining("activeSession(sessions), in front of"),
      });
    }
  });
});

describe("a definition that is not exposed, or misspelt", () => {
  const count = defineSequenceRunner({ name: "count", run: () => [1] });

  test("is told with the names that are, but not in production", async () => {
    const { url } = await openApp({ router: { expose: [count] } });
    const client = createClient(`${url}/runners`, { headers: { "x-user": "ann" } });
    await expect(client.create("cuont")).rejects.toMatchObject({
      code: "UNKNOWN_DEFINITION",
      status: 404,
      message: expect.stringMatching(/received "cuont"\. Exposed are: count\. See .*expose/),
    });
    vi.stubEnv("NODE_ENV", "production");
    atEnd(() => void vi.unstubAllEnvs());
    await expect(client.create("cuont")).rejects.toMatchObject({
      code: "UNKNOWN_DEFINITION",
      message: expect.not.stringContaining("count."),
    });
  });
});

test("what a definition throws when it starts is reported without a logger, with its cause", async () => {
  const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
  const run = ({ to }: { to: number }) => Array.from({ length: to }, (_, i) => i);
  const count = defineSequenceRunner({ name: "count", run });
  const sessions = createActiveSessions();
  atEnd(async () => void (await sessions.close()));
  const { url } = await openApp({ sessions, router: { expose: [count] } });
  const client = createClient(`${url}/runners`, { headers: { "x-user": "ann" } });
  await expect(client.create("count")).rejects.toMatchObject({ code: "RUNNER_START_FAILED" });
  expect(JSON.stringify(warn.mock.calls)).toContain("Cannot destructure property 'to'");
});

describe("a field of a definition that would be ignored", () => {
  test.each([
    ["an option beside run", { retain: "all" }, /retain must be in options.*Write options: \{ retain \}/],
    ["a misspelt one", { inputs: {} }, /inputs/],
  ])("is refused: %s", (_what, field, message) => {
    const parts = { name: "a", run: () => [1], ...field };
    for (const define of [defineSequenceRunner, defineProcessRunner] as ((parts: never) => unknown)[]) {
      expect(() => define(parts as never)).toThrowError(
        expect.objectContaining({ code: "INVALID_OPTION", message: expect.stringMatching(message) }),
      );
    }
  });
});

describe("a runner that is requested without any cookie", () => {
  const open = async () => {
    const warnings: string[] = [];
    const sessions = openHost({ logger: { warn: (_details: object, message: string) => void warnings.push(message) } });
    const { url } = await openApp({ sessions, middleware: {} });
    const ask = async (headers: Record<string, string> = {}) =>
      (await fetch(`${url}/runners/0-1-x/state`, { headers })).status;
    return { warnings, ask };
  };

  test("is reported once, with how to send one", async () => {
    const { warnings, ask } = await open();
    expect([await ask(), await ask()]).toEqual([404, 404]);
    expect(warnings).toEqual([expect.stringMatching(/without a cookie.*credentials: "include"/)]);
  });

  test("is not reported in production, nor where the client identifies itself", async () => {
    const { warnings, ask } = await open();
    await ask({ cookie: "a=b" });
    await ask({ authorization: "Bearer x" });
    vi.stubEnv("NODE_ENV", "production");
    atEnd(() => void vi.unstubAllEnvs());
    await ask();
    expect(warnings).toEqual([]);
  });
});

describe("a mistake in the use of the client", () => {
  test.each([undefined, null, new URL("http://server.test")])("an URL that is %s is refused at once", (url) => {
    expect(() => createClient(url as never)).toThrow(
      expect.objectContaining({ code: "INVALID_OPTION", message: expect.stringContaining("/runners") }),
    );
  });

  test.each([undefined, null, "", 7])("a key that is %s is refused before anything is sent", async (key) => {
    const fetch = vi.fn<typeof globalThis.fetch>();
    const client = createClient("http://server.test/runners", { fetch });
    const invalid = { code: "INVALID_ARGUMENT", message: expect.stringContaining(`received ${key}`) };
    expect(() => client.follow(key as never)).toThrow(expect.objectContaining(invalid));
    for (const ask of [client.read, client.state, client.abort, client.remove, client.create]) {
      await expect((ask as (key: unknown) => Promise<unknown>).call(client, key)).rejects.toMatchObject(invalid);
    }
    expect(fetch).not.toHaveBeenCalled();
  });

  test("a wrong address is named, and is not taken for a runner that is gone", async () => {
    const { url } = await openApp();
    const client = createClient(`${url}/runner`);
    for (const ask of [
      () => client.state("0-1-x"),
      () => client.create("count"),
      () => client.list(),
      () => client.follow("0-1-x").forEach(() => {}),
    ]) {
      await expect(ask()).rejects.toMatchObject({
        code: "UNEXPECTED_RESPONSE",
        message: expect.stringContaining(`404 from ${url}/runner`),
      });
    }
  });

  test("a page in place of the runners is named, too", async () => {
    const app = express().use((_request, response) => void response.send("<h1>Hello</h1>"));
    const { url } = await listen(app);
    const client = createClient(`${url}/runners`);
    for (const ask of [() => client.state("0-1-x"), () => client.create("count"), () => client.read("0-1-x")]) {
      await expect(ask()).rejects.toMatchObject({
        code: "UNEXPECTED_RESPONSE",
        message: expect.stringContaining(`${url}/runners/`),
      });
    }
  });
});

test("a lost login is told as such, after the headers were asked for once more", async () => {
  const app = express().use((_request, response) => void response.sendStatus(401));
  const { url } = await listen(app);
  const headers = vi.fn(() => ({ authorization: "old" }));
  const client = createClient(`${url}/runners`, { headers });
  await expect(client.follow("0-1-x").forEach(() => {})).rejects.toMatchObject({ code: "UNAUTHORIZED", status: 401 });
  expect(headers).toHaveBeenCalledTimes(2);
});

test("a stop ends the loop over the items without an error", async () => {
  const { url } = await openApp({ router: { expose: [defineSequenceRunner({ name: "endless", run: endless })] } });
  const client = createClient(`${url}/runners`, { headers: { "x-user": "ann" } });
  const runner = await client.create("endless");
  let taken = 0;
  for await (const _ of runner) if (++taken === 5) await client.abort(runner.key);
  expect(runner).toMatchObject({ phase: "aborted", status: "aborted" });

  async function* endless() {
    for (let n = 0; ; n++) yield n;
  }
});

test("a total that is no number is refused, and fails the work that tells it", async () => {
  const session = await openHost().get("ann");
  const runner = await session.createSequenceRunner(async function* ({ total }) {
    total(Number.NaN);
    yield 1;
  });
  const { error } = await runner.getRequired({ advance: 1 });
  expect(error?.cause).toMatchObject({
    code: "INVALID_ARGUMENT",
    message: expect.stringContaining("Cannot set the total"),
  });
});
