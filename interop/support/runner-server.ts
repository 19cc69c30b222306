/** An application as its users write it: our adapter for `node:http`, and a cookie for each client. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createActiveSessions } from "../../src/index.js";
import { activeSession, runnerRouter } from "../../src/node.js";
import type { RunnerOptions } from "../../src/session/options.js";

/** An application that runs, and one client of it. */
export interface RunnerServer extends AsyncDisposable {
  /** Starts a runner in the session of the client; returns its URL. */
  start(source: AsyncIterable<unknown> | Iterable<unknown>, options?: RunnerOptions): Promise<string>;
  /** What the client sends with every request. */
  readonly headers: { readonly cookie: string };
  /** How many requests there were: of GET by the `live` of its query, "page" where there is none; of others by method. */
  readonly requests: Readonly<Record<string, number>>;
  /** Cuts every connection that is open. */
  cut(): void;
}

/** Starts an application on a free port. */
export async function startRunnerServer(): Promise<RunnerServer> {
  const sessions = createActiveSessions();
  const withSession = activeSession(sessions);
  const serveRunners = runnerRouter(sessions);
  const requests: Record<string, number> = {};
  let waiting: { source: AsyncIterable<unknown> | Iterable<unknown>; options: RunnerOptions } | undefined;

  const server = createServer(async (req, res) => {
    const request = await withSession(req, res);
    const { pathname, searchParams } = new URL(req.url ?? "", url);
    if (pathname !== "/start") {
      const kind = req.method === "GET" ? (searchParams.get("live") ?? "page") : req.method!;
      requests[kind] = (requests[kind] ?? 0) + 1;
      if (!(await serveRunners(request, res))) res.writeHead(404).end();
      return;
    }
    const { source = [], options = {} } = waiting ?? {};
    const runner = await request.activeSession.createSequenceRunner(source, options);
    res.writeHead(201, { Location: `/runners/${runner.key}` }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const headers = { cookie: "" };
  return {
    headers,
    requests,
    async start(source, options = {}) {
      waiting = { source, options };
      const response = await fetch(`${url}/start`, { method: "POST", headers });
      headers.cookie ||= response.headers.getSetCookie()[0]!.split(";", 1)[0]!;
      return url + response.headers.get("location");
    },
    cut: () => server.closeAllConnections(),
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await Promise.all([closed, sessions.close()]);
    },
  };
}
