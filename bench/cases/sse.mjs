// Items as Server-Sent Events.
import { get as request } from "node:http";
import { start } from "../lib/child.mjs";
import { compare } from "../lib/measure.mjs";

export const name = "sse";

const marker = '"n":';

/** Reads a whole response; gives how many items were in it. */
function items(url, onHead = () => {}) {
  return new Promise((resolve, reject) => {
    const asked = request(url, { agent: false }, (response) => {
      onHead();
      let count = 0;
      let rest = "";
      response.setEncoding("latin1");
      response.on("data", (text) => {
        const all = rest + text;
        count += all.split(marker).length - 1;
        rest = all.slice(-(marker.length - 1));
      });
      response.on("error", reject);
      response.on("end", () => resolve(count));
    });
    asked.on("error", reject);
  });
}

/** How many items a second come in responses of their own, `streams` at once. */
async function streams({ port }, number, count) {
  const began = performance.now();
  const url = `http://127.0.0.1:${port}/one?count=${count}`;
  const counts = await Promise.all(Array.from({ length: number }, () => items(url)));
  check(counts, count);
  return (number * count) / ((performance.now() - began) / 1000);
}

/** How many items a second are delivered to all readers of one producer together. */
async function readers(server, number) {
  let arrived = 0;
  const isAll = Promise.withResolvers ? Promise.withResolvers() : deferred();
  const url = `http://127.0.0.1:${server.port}/all`;
  const all = Array.from({ length: number }, () => items(url, () => ++arrived === number && isAll.resolve()));
  await isAll.promise;
  const began = performance.now();
  await server.ask("begin");
  check(await Promise.all(all), 2000);
  return (number * 2000) / ((performance.now() - began) / 1000);
}

function deferred() {
  let resolve;
  const promise = new Promise((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

function check(counts, count) {
  const wrong = counts.find((one) => one !== count);
  if (wrong !== undefined) throw new Error(`A response had ${wrong} items of ${count}`);
}

export async function* run() {
  const variants = ["hand", "better-sse", "ours"];
  const servers = await Promise.all(variants.map((variant) => start("servers/sse.mjs", [variant])));
  const [hand, better, ours] = servers;
  try {
    const own = [
      ["one reader, 10,000 items", (server) => () => streams(server, 1, 10_000), { hand: 0.9, better: 1.05 }],
      ["200 streams of 500", (server) => () => streams(server, 200, 500), { hand: 0.85, better: 1.2 }],
    ];
    for (const [what, side, limits] of own) {
      const sides = { hand: side(hand), better: side(better), ours: side(ours) };
      const byHand = await compare(sides, { rounds: 11, floor: "hand" });
      yield { name: `${what}: against SSE by hand, items/s (aheadLimit 20,000)`, ...byHand.ours, atLeast: limits.hand };
      const ratio = byHand.ours.ratio / byHand.better.ratio;
      const spread = { min: byHand.ours.min / byHand.better.max, max: byHand.ours.max / byHand.better.min };
      yield { name: `${what}: against better-sse`, ...byHand.ours, ratio, ...spread, atLeast: limits.better };
    }
    for (const [number, atLeast] of [
      [100, 4],
      [1000, 3],
    ]) {
      const sides = { better: () => readers(better, number), ours: () => readers(ours, number) };
      const results = await compare(sides, { rounds: 7, floor: "better" });
      yield {
        name: `${number} readers of one producer: against better-sse push, items/s delivered`,
        ...results.ours,
        atLeast,
      };
    }
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}
