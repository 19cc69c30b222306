// What users do over HTTP besides streams: read a page, create a runner, read a short one to its end, read everything again.
import { start } from "../lib/child.mjs";
import { own } from "../lib/library.mjs";
import { get, hammer } from "../lib/load.mjs";
import { again, ask, byEvents, byPages, itemsPerCpuSecond } from "../lib/visits.mjs";

const unit = "per second of processor time";
const notDecided = "not decided yet";

export const group = "pages";

/** A server whose work is read, and how it is visited: `prepare` makes the visit. */
function opener(times, prepare) {
  return async (variant, dist) => {
    const server = await start("servers/work.mjs", { args: [variant], dist });
    const visit = await prepare(server);
    return { measure: () => itemsPerCpuSecond(server, times, visit), stop: () => server.stop() };
  };
}

const short = [10, 100, 1000].flatMap((count) => [
  { name: `short-${count}-pages`, count, read: byPages, by: "pages of 100" },
  { name: `short-${count}-sse`, count, read: byEvents, by: "SSE" },
]);

export const cases = [
  {
    name: "page",
    ours: ["ours"],
    open: openPage,
    rounds: 9,
    warmUp: 1000,
    figures: [
      {
        ...{
          name: `a page of 100 over HTTP, pages ${unit}`,
          beside: "a bare route that stringifies and sends the same",
        },
        ...{ of: "ours", against: "bare", atLeast: 0.9 },
      },
    ],
  },
  {
    name: "creation",
    ours: ["ours"],
    open: opener(1000, () => async (server) => {
      await ask(server, "POST", "/runners/count", { count: 10 });
      return 1;
    }),
    rounds: 5,
    warmUp: 1000,
    figures: [
      {
        ...{ name: `creations over HTTP with the first page of 10, ${unit}`, beside: "a route by hand" },
        ...{ of: "ours", against: "bare", why: "the route by hand keeps all and checks nothing" },
      },
    ],
  },
  ...short.map(({ name, count, read, by }) => ({
    name,
    ours: ["ours"],
    open: opener(Math.min(500, 50_000 / count), () => (server) => read(server, count)),
    rounds: 5,
    warmUp: 1000,
    figures: [
      {
        ...{ name: `work of ${count} items from creation to clean-up, by ${by}, items ${unit}`, beside: "by hand" },
        ...{ of: "ours", against: "bare", why: notDecided },
      },
    ],
  })),
  {
    name: "reload",
    ours: ["ours"],
    open: opener(8, async (server) => {
      const { headers } = await ask(server, "POST", "/runners/kept?max-items=1", { count: 10_000 });
      return () => again(server, headers.location, 10_000);
    }),
    rounds: 7,
    warmUp: 1000,
    figures: [
      {
        ...{ name: `a reload of 10,000 items with retain: "all", items ${unit}`, beside: "an array in pages of 1,000" },
        ...{ of: "ours", against: "bare", atLeast: 0.9 },
      },
    ],
  },
];

let shape;

async function openPage(variant, dist) {
  const server = await start("servers/page.mjs", { args: [variant], dist });
  const { answer: path } = await server.ask("path");
  if (dist === own) await checkShape(`http://127.0.0.1:${server.port}${path}`);
  return { measure: () => hammer(server, { request: get(path), duration: 300 }), stop: () => server.stop() };
}

/** Both sides must send the same number of bytes under the same names. */
async function checkShape(url) {
  const answer = await fetch(url);
  const got = JSON.stringify([[...answer.headers.keys()], await answer.text()]);
  shape ??= got;
  if (got !== shape) throw new Error(`The answers are not alike: ${shape.slice(0, 700)}, ${got.slice(0, 700)}`);
}
