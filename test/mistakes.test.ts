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
