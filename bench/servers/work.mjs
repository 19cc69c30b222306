// Work that a request starts and later requests read: by the library, or by hand, which keeps items in an array and forgets nothing but
// what it is told to.
import { createServer } from "node:http";
import { library } from "../lib/library.mjs";
import { serve } from "../lib/serve.mjs";
import { eventStream } from "../ways/produce.mjs";

const [variant] = process.argv.slice(2);
const mount = "/runners";

async function* numbers(count) {
  for (let n = 0; n < count; n++) yield { n, text: `This is item number ${n}` };
}

async function ours() {
  const { createActiveSessions, defineSequenceRunner } = await library("index");
  const { activeSession, runnerRouter } = await library("node");
  const many = 1_000_000;
  const sessions = createActiveSessions({
    limits: { runnersPerClient: many, openReadsPerClient: many },
    idleTimeout: Number.POSITIVE_INFINITY,
  });
  const run = ({ count }) => numbers(count);
  const count = defineSequenceRunner({ name: "count", run });
  const kept = defineSequenceRunner({ name: "kept", run, options: { retain: "all", aheadLimit: many } });
  const install = activeSession(sessions, { identify: () => "ann" });
  const serveRunners = runnerRouter(sessions, { expose: [count, kept] });
  return async (request, response) => serveRunners(await install(request, response), response);
}

/** The same answers without a library: no session, no limits, no waiting reads, no clean-up. */
function bare() {
  const works = new Map();
  let last = 0;
  const json = { "content-type": "application/json", "cache-control": "private, no-cache, no-store" };
  const start = (count) => {
    const work = { items: [], isOver: false, done: undefined };
    work.done = (async () => {
      for await (const item of numbers(count)) work.items.push(item);
      work.isOver = true;
    })();
    return work;
  };
  return async (request, response) => {
    const url = new URL(request.url, "http://localhost");
    const key = url.pathname.slice(mount.length + 1);
    if (request.method === "POST") {
      let text = "";
      for await (const chunk of request) text += chunk;
      const work = start(JSON.parse(text).count);
      const id = String(++last);
      works.set(id, work);
      await work.done;
      const items = work.items.slice(0, Number(url.searchParams.get("max-items") ?? 1000));
      const closed = items.length === work.items.length;
      const body = JSON.stringify({ key: id, position: items.length, closed, items });
      response.writeHead(201, { ...json, location: id, "content-length": Buffer.byteLength(body) }).end(body);
    } else if (request.method === "DELETE") {
      works.delete(key);
      response.writeHead(204).end();
    } else if (url.searchParams.get("live") === "sse") {
      response.writeHead(200, eventStream);
      for (const item of works.get(key).items.slice(Number(url.searchParams.get("offset"))))
        response.write(`data: ${JSON.stringify(item)}\n\n`);
      response.end();
    } else {
      const { items } = works.get(key);
      const from = Number(url.searchParams.get("offset"));
      const page = items.slice(from, from + Number(url.searchParams.get("max-items") ?? 1000));
      const body = JSON.stringify(page);
      const position = from + page.length;
      const closed = position === items.length && { "stream-closed": "true" };
      const headers = { ...json, ...closed, "stream-next-offset": String(position).padStart(16, "0") };
      response.writeHead(200, { ...headers, "content-length": Buffer.byteLength(body) }).end(body);
    }
  };
}

await serve(createServer(variant === "ours" ? await ours() : bare()));
