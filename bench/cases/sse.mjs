// Items as Server-Sent Events: one reader or many, all at once or paced, against hand-written ones and against peers.
import { start } from "../lib/child.mjs";
import { against, compare } from "../lib/measure.mjs";
import { startRedis } from "../lib/redis.mjs";
import { pacedDelay, readers, stay, streams } from "../lib/streams.mjs";

export const name = "sse";

const peers = {
  hand: "SSE by hand",
  "better-sse": "better-sse",
  "durable-streams": "@durable-streams/server",
  "resumable-stream": "resumable-stream, first reader",
  resumed: "resumable-stream, resumed reader",
  bullmq: "BullMQ, progress events",
};
const needRedis = ["resumable-stream", "resumed", "bullmq"];

/** What is asked of each job, by peer. */
const jobs = [
  {
    job: { number: 1, count: 10_000 },
    atLeast: { hand: 0.9, "better-sse": 1.05, "durable-streams": 1.7, "resumable-stream": 1.6, resumed: 30 },
  },
  {
    job: { number: 200, count: 500 },
    atLeast: { hand: 0.85, "better-sse": 1.2, "durable-streams": 5, "resumable-stream": 1.8, resumed: 9 },
  },
];

const fanOut = [
  { number: 100, atLeast: 4 },
  { number: 1000, atLeast: 3 },
];

export async function* run() {
  const redis = await startRedis();
  if (redis) process.env.REDIS_URL = redis.url;
  else console.log("There is no redis-server: what needs one is left out");
  const names = Object.keys(peers).filter((peer) => redis || !needRedis.includes(peer));
  try {
    const servers = await startAll(["ours", ...names.filter((peer) => peer !== "resumed")]);
    for (const server of Object.values(servers)) void stay(server);
    try {
      for (const { job, atLeast } of jobs) yield* throughput(servers, names, job, atLeast);
      for (const { number, atLeast } of fanOut) {
        const sides = { ours: () => readers(servers.ours, number), peer: () => readers(servers["better-sse"], number) };
        const { ours } = await compare(sides, { rounds: 7, floor: "peer" });
        const what = `${number} readers of one producer: against better-sse push, items/s delivered`;
        yield { name: what, ...ours, atLeast };
      }
      const paced = { number: 200, count: 150, every: 20 };
      const sides = { ours: () => pacedDelay(servers.ours, paced), hand: () => pacedDelay(servers.hand, paced) };
      const { ours } = await compare(sides, { rounds: 5, floor: "hand" });
      yield { name: "200 streams of 50 items a second: p99 delay against SSE by hand, ms", ...ours, atMost: 1.2 };
    } finally {
      await stopAll(servers);
    }
    yield* memory();
  } finally {
    await redis?.stop();
  }
}

async function* throughput(servers, names, job, atLeast) {
  const side = (peer) => {
    const [server, path] = peer === "resumed" ? ["resumable-stream", "resumed"] : [peer, "one"];
    return () => streams(servers[server], { ...job, path });
  };
  const sides = Object.fromEntries(["ours", ...names].map((peer) => [peer, side(peer)]));
  const results = await compare(sides, { rounds: 5, floor: "hand", warmUp: 3000 });
  const what = job.number === 1 ? "one reader, 10,000 items" : `${job.number} streams of ${job.count}`;
  for (const peer of names) {
    const figure = { name: `${what}: against ${peers[peer]}, items/s (aheadLimit 20,000)`, atLeast: atLeast[peer] };
    yield { ...figure, ...against(results.ours, results[peer]) };
  }
}

/** How much more memory a server that is new takes for the job of 200 streams. */
async function* memory() {
  const side = (variant) => async () => {
    const server = await start("servers/sse.mjs", [variant]);
    try {
      const { answer: before } = await server.ask("rss");
      for (let i = 0; i < 3; i++) await streams(server, { number: 200, count: 500 });
      return ((await server.ask("peak")).answer - before) / 2 ** 20;
    } finally {
      await server.stop();
    }
  };
  const { ours } = await compare({ ours: side("ours"), peer: side("better-sse") }, { rounds: 7, floor: "peer" });
  yield { name: "200 streams of 500: extra RSS of the server against better-sse, MiB", ...ours, atMost: 1.3 };
}

async function startAll(variants) {
  const all = await Promise.all(variants.map((variant) => start("servers/sse.mjs", [variant])));
  return Object.fromEntries(variants.map((variant, i) => [variant, all[i]]));
}

async function stopAll(servers) {
  await Promise.all(Object.values(servers).map((server) => server.stop()));
}
