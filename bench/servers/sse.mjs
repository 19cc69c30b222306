// Items as Server-Sent Events, each response from a producer of its own, which lets the loop go every 50 items:
// by hand, by better-sse, or by a runner. And one producer whose items go to all who have come (`/all`, begun by the question `begin`).
import { createServer } from "node:http";
import { setImmediate as turn } from "node:timers/promises";
import { createSession } from "better-sse";
import { createActiveSessions } from "../../dist/index.js";
import { activeSession, runnerRouter } from "../../dist/node.js";
import { serve } from "./serve.mjs";

const variant = process.argv[2];
const item = (n) => ({ n, text: `This is item number ${n}` });
const many = Number.POSITIVE_INFINITY;

async function* produce(count) {
  for (let n = 0; n < count; n++) {
    if (n % 50 === 49) await turn();
    yield item(n);
  }
}

const head = { "content-type": "text/event-stream", "cache-control": "no-cache" };

/** For each way of sending: one response with its own items, and one more reader of what is common to all. */
const ways = {
  hand: {
    async one(_request, response, count) {
      response.writeHead(200, head);
      for await (const one of produce(count)) {
        if (!response.write(`data: ${JSON.stringify(one)}\n\n`))
          await new Promise((resolve) => response.once("drain", resolve));
      }
      response.end();
    },
  },
  "better-sse": {
    async one(request, response, count) {
      const session = await createSession(request, response);
      for await (const one of produce(count)) session.push(one);
      response.end();
    },
    readers: [],
    async all(request, response) {
      this.readers.push({ session: await createSession(request, response), response });
    },
    async begin(count) {
      for await (const one of produce(count)) for (const { session } of this.readers) session.push(one);
      for (const { response } of this.readers.splice(0)) response.end();
    },
  },
  ours: {
    sessions: createActiveSessions({
      idleTimeout: many,
      limits: { runners: many, runnersPerClient: many, openReads: many, openReadsPerClient: many, retainedItems: many },
    }),
    async one(request, response, count) {
      const arrived = await this.arrive(request, response);
      const runner = await arrived.activeSession.createSequenceRunner(() => produce(count), { aheadLimit: 20_000 });
      await this.stream(arrived, response, runner);
      await runner.dispose();
    },
    async all(request, response) {
      const arrived = await this.arrive(request, response);
      this.runner ??= arrived.activeSession.createSequenceRunner(() => this.common(), { aheadLimit: 20_000 });
      await this.stream(arrived, response, await this.runner);
    },
    async *common() {
      const count = await new Promise((resolve) => {
        this.begun = resolve;
      });
      yield* produce(count);
    },
    async begin(count) {
      const runner = await this.runner;
      this.begun(count);
      await runner.cleanup;
      this.runner = undefined;
    },
    async stream(request, response, { key }) {
      request.url = `/runners/${key}?offset=0&live=sse`;
      await this.serveRunners(request, response);
    },
  },
};
ways.ours.arrive = activeSession(ways.ours.sessions, { identify: () => "ann" });
ways.ours.serveRunners = runnerRouter(ways.ours.sessions);

const way = ways[variant];
const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  const act =
    pathname === "/all" ? way.all(request, response) : way.one(request, response, Number(searchParams.get("count")));
  act.catch((error) => response.destroy(error));
});
await serve(server, { begin: () => void way.begin(2000) });
