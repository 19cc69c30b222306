// Readers of event streams that count what they get, and must get all of it.
import { get } from "node:http";
import { clock } from "../ways/produce.mjs";

const marker = '{"n":';
const stamp = /"at":(\d+)/g;

/** Reads a whole response; gives how many items were in it, and, if asked for, how long each was on its way, µs. */
function readItems(url, { onHead = () => {}, delays } = {}) {
  return new Promise((resolve, reject) => {
    const asked = get(url, { agent: false }, (response) => {
      const { location } = response.headers;
      if (location) {
        response.resume();
        readItems(location, { onHead, delays }).then(resolve, reject);
        return;
      }
      onHead();
      let count = 0;
      let rest = "";
      response.setEncoding("latin1");
      response.on("data", (text) => {
        const all = rest + text;
        count += all.split(marker).length - 1;
        rest = all.slice(-(marker.length - 1));
        if (!delays) return;
        const now = clock();
        for (const [, at] of text.matchAll(stamp)) delays.push(now - Number(at));
      });
      response.on("error", reject);
      response.on("end", () => resolve(count));
    });
    asked.on("error", reject);
  });
}

/**
 * Keeps a stream of an item a second open for as long as the server runs. A server is never without streams; in a process that is,
 * each full collection throws away the code that was optimised for them.
 */
export async function stay({ port }) {
  try {
    for (;;) await readItems(`http://127.0.0.1:${port}/one?count=1000000&every=1000`);
  } catch {
    // The server has been stopped.
  }
}

/** How many items come in responses of their own, `number` at once, in a second of the server's processor. */
export async function streams(server, { number, count, path = "one" }) {
  const url = `http://127.0.0.1:${server.port}/${path}?count=${count}`;
  const used = await processorTime(server, async () => {
    check(await Promise.all(Array.from({ length: number }, () => readItems(url))), count);
  });
  return (number * count) / used;
}

/** Seconds of the server's processor that something takes. */
async function processorTime({ ask }, act) {
  const { answer: before } = await ask("cpu");
  await act();
  return ((await ask("cpu")).answer - before) / 1e6;
}

/** The 99th percentile of how long an item is on its way, ms, when each of `number` streams has one every `every` ms. */
export async function pacedDelay({ port }, { number, count, every }) {
  const delays = [];
  const url = `http://127.0.0.1:${port}/one?count=${count}&every=${every}`;
  const all = Array.from({ length: number }, async (_, i) => {
    await new Promise((resolve) => setTimeout(resolve, 5 * i)); // that they open is not what is measured
    return readItems(url, { delays });
  });
  check(await Promise.all(all), count);
  return delays.sort((a, b) => a - b)[Math.floor(delays.length * 0.99)] / 1000;
}

/**
 * So many streams of an item a second, each of a producer of its own, once all are open.
 * @returns µs of the server's processor for an item, kB of its memory for each stream, ms: the 99th percentile of how long an item is
 *   on its way
 */
export async function followers(server, { number, seconds }) {
  const { answer: before } = await server.ask("rss");
  const opening = number / 1000;
  const count = opening + seconds;
  const url = `http://127.0.0.1:${server.port}/one?count=${count}&every=1000`;
  let delays = [];
  const sink = { push: (delay) => delays.push(delay) };
  const all = [];
  for (let i = 0; i < number; i++) {
    const reading = readItems(url, { delays: sink });
    reading.catch(() => {}); // until all are open nothing else listens
    all.push(reading);
    // A thousand a second, so that no two of a hundred have their items in the same millisecond.
    if (i % 10 === 9) await new Promise((resolve) => setTimeout(resolve, 10));
  }
  delays = []; // the opening does not count
  const measured = 1000 * (seconds - 3);
  const used = await processorTime(server, () => new Promise((resolve) => setTimeout(resolve, measured)));
  const { answer: rss } = await server.ask("rss");
  const counted = delays.sort((a, b) => a - b);
  check(await Promise.all(all), count);
  return {
    cpu: (used * 1e6) / counted.length,
    memory: (rss - before) / number / 1024,
    p99: counted[Math.floor(counted.length * 0.99)] / 1000,
  };
}

/** How many items are delivered to all readers of one producer together, in a second of the server's processor. */
export async function readers(server, number) {
  let arrived = 0;
  let all;
  await new Promise((resolve) => {
    const onHead = () => ++arrived === number && resolve();
    all = Array.from({ length: number }, () => readItems(`http://127.0.0.1:${server.port}/all`, { onHead }));
  });
  const used = await processorTime(server, async () => {
    await server.ask("begin");
    check(await Promise.all(all), 2000);
  });
  return (number * 2000) / used;
}

function check(counts, count) {
  const wrong = counts.find((one) => one !== count);
  if (wrong !== undefined) throw new Error(`A response had ${wrong} items of ${count}`);
}
