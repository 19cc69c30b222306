// What an adapter costs a request: the same route with and without it. Also a page over HTTP, and creation.
import { start } from "../lib/child.mjs";
import { get, hammer } from "../lib/load.mjs";

/** ms; short, because the machine has good and bad moments. */
const burst = 150;
const frameworks = ["node", "fastify", "hono", "fetch", "koa", "express", "nest-express", "nest-fastify"];
const unit = "requests per second of processor time";

export const group = "requests";

const emptyMiddleware = {
  ...{ name: `hono: a route behind the adapter, ${unit}`, beside: "one with a middleware that does nothing" },
  ...{ of: "untouched", against: "other", atLeast: 0.9 },
};

const expressSession = [
  {
    ...{ name: `express: a route that uses its session, ${unit}`, beside: "express-session" },
    ...{ of: "touched", against: "express-session", atLeast: 1.6 },
  },
  {
    ...{ name: `express: the bare route, ${unit}`, beside: "express-session" },
    ...{ of: "bare", against: "express-session", why: "the most that the row above can come to" },
  },
];

export const cases = frameworks.map((framework) => ({
  name: framework,
  ours: ["untouched", "touched"],
  open: (variant, dist) => openRoute(framework, variant, dist),
  rounds: 9,
  warmUp: 1000,
  figures: [
    {
      ...{ name: `${framework}: a route behind the adapter, ${unit}`, beside: "the bare one" },
      ...{ of: "untouched", against: "bare", atLeast: 0.9 },
    },
    {
      ...{ name: `${framework}: a route that uses its session, ${unit}`, beside: "the bare one" },
      ...{ of: "touched", against: "bare", atLeast: 0.9 },
    },
    ...(framework === "hono" ? [emptyMiddleware] : []),
    ...(framework === "express" ? expressSession : []),
  ],
}));

async function openRoute(framework, variant, dist) {
  const server = await start("servers/route.mjs", { args: [framework, variant], dist });
  const request = get("/route", await cookieOf(server));
  return { measure: () => hammer(server, { request, duration: burst }), stop: () => server.stop() };
}

/** A server that looks at no cookie is sent one all the same. */
async function cookieOf({ port }) {
  const response = await fetch(`http://127.0.0.1:${port}/route`);
  await response.text();
  const [cookie = `active-session=${"x".repeat(22)}`] = response.headers.getSetCookie();
  return { cookie: cookie.split(";")[0] };
}
