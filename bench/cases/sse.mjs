// Items as Server-Sent Events: one reader or many, all at once or paced, beside SSE by hand and beside peers.
import { start } from "../lib/child.mjs";
import { redisUrl } from "../lib/redis.mjs";
import { followers, pacedDelay, readers, stay, streams } from "../lib/streams.mjs";

export const group = "sse";

const peers = {
  hand: "SSE by hand",
  "better-sse": "better-sse",
  "durable-streams": "@durable-streams/server",
  "resumable-stream": "resumable-stream, first reader",
  resumed: "resumable-stream, resumed reader",
  bullmq: "BullMQ, progress events",
};
const needRedis = ["resumable-stream", "resumed", "bullmq"];
const unit = "items per second of the server's processor";
const sockets = "the rest of the time is that of sockets, for SSE by hand, too: see the row beside it";

const jobs = [
  {
    name: "stream",
    what: "one reader of 10,000 items",
    job: { number: 1, count: 10_000 },
    goals: { hand: 0.9, "better-sse": 1.05, "durable-streams": 1.7, "resumable-stream": 1.6, resumed: 30 },
  },
  {
    name: "streams",
    what: "200 streams of 500 items",
    job: { number: 200, count: 500 },
    goals: { hand: 0.95, "better-sse": 1.2, "resumable-stream": 1.8, resumed: 9 },
  },
];

/** A server in one of the ways of `ways/`; `undefined` where it needs Redis and there is none. */
async function open(way, dist, measure) {
  const [variant, path] = way === "resumed" ? ["resumable-stream", "resumed"] : [way, "one"];
  if (needRedis.includes(way) && !(await redisUrl())) return undefined;
  const server = await start("servers/sse.mjs", { args: [variant], dist });
  void stay(server);
  return { measure: () => measure(server, path), stop: () => server.stop() };
}

const throughput = jobs.map(({ name, what, job, goals }) => ({
  name,
  ours: ["ours"],
  open: (way, dist) => open(way, dist, (server, path) => streams(server, { ...job, path })),
  rounds: 5,
  warmUp: 2000,
  figures: Object.keys(peers).map((peer) => ({
    ...{ name: `${what}, ${unit} (aheadLimit 20,000)`, beside: peers[peer], of: "ours", against: peer },
    ...(goals[peer] ? { atLeast: goals[peer] } : { why: peer === "bullmq" ? "no stream, only its nearest" : sockets }),
  })),
}));

const fanOut = [
  { number: 100, atLeast: 4 },
  { number: 1000, atLeast: 3 },
].map(({ number, atLeast }) => ({
  name: `readers-${number}`,
  ours: ["ours"],
  open: (way, dist) => open(way, dist, (server) => readers(server, number)),
  rounds: 5,
  figures: [
    {
      ...{ name: `${number} readers of one producer, ${unit}, delivered`, beside: "better-sse push" },
      ...{ of: "ours", against: "better-sse", atLeast },
    },
  ],
}));

const paced = { number: 200, count: 100, every: 20 };

export const cases = [
  ...throughput,
  ...fanOut,
  {
    name: "paced",
    ours: ["ours"],
    open: (way, dist) => open(way, dist, (server) => pacedDelay(server, paced)),
    rounds: 3,
    figures: [
      {
        ...{ name: "200 streams of 50 items a second: p99 delay, ms", beside: "SSE by hand" },
        ...{ of: "ours", against: "hand", atMost: 1.2 },
      },
    ],
  },
  {
    name: "memory",
    ours: ["ours"],
    open: openForMemory,
    rounds: 1,
    warmUp: "none",
    figures: [
      {
        ...{ name: "200 streams of 500 items: extra RSS of the server, MiB", beside: "better-sse" },
        ...{ of: "ours", against: "better-sse", atMost: 1.3 },
      },
    ],
  },
  {
    name: "followers",
    ours: ["ours"],
    open: async (way, dist) => {
      const server = await start("servers/sse.mjs", { args: [way], dist });
      return { measure: () => followers(server, { number: 10_000, seconds: 10 }), stop: () => server.stop() };
    },
    rounds: 1,
    warmUp: "none",
    figures: [
      followed("cpu", "processor time an item, µs", { atMost: 1.5 }),
      followed("memory", "memory, kB each", { why: "each keeps what is not acknowledged; SSE by hand keeps nothing" }),
      followed("p99", "p99 delay, ms", { atMost: 1.5 }),
    ],
  },
];

function followed(value, what, goal) {
  const name = `10,000 followers of 10,000 runners at one item a second: ${what}`;
  return { name, beside: "SSE by hand", of: "ours", against: "hand", value, isCost: true, ...goal };
}

/** How much more memory a server that is new takes for the job of 200 streams. */
async function openForMemory(way, dist) {
  const server = await start("servers/sse.mjs", { args: [way], dist });
  const measure = async () => {
    const { answer: before } = await server.ask("rss");
    for (let i = 0; i < 3; i++) await streams(server, { number: 200, count: 500 });
    return ((await server.ask("peak")).answer - before) / 2 ** 20;
  };
  return { measure, stop: () => server.stop() };
}
