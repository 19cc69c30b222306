// What an adapter costs a request: the same route with and without it.
import { start } from "../lib/child.mjs";
import { get, hammer } from "../lib/load.mjs";
import { against, compare, together } from "../lib/measure.mjs";

/** ms; short ones, and many: the machine has good and bad moments. */
const burst = 120;
const rounds = 18;
/** ms; before that a server's code is not optimised. */
const warmUp = 1000;
/** No two processes run the same code equally fast: each server is started so often. */
const starts = 2;
const frameworks = ["node", "fastify", "hono", "fetch", "koa", "express", "nest-express", "nest-fastify"];
const more = { express: ["express-session"], hono: ["other"] };

export const name = "requests";

export async function* run() {
  for (const framework of frameworks) {
    const variants = ["bare", "untouched", "touched", ...(more[framework] ?? [])];
    const results = [];
    for (let i = 0; i < starts; i++) results.push(await ofServers(framework, variants));
    const { bare: floor, untouched, touched, "express-session": session, other } = together(results, "bare");
    const unit = "requests per second of processor time";
    const bare = `against the bare one, ${unit}`;
    yield { name: `${framework}: a route behind the adapter, ${bare}`, ...untouched, atLeast: 0.9 };
    yield { name: `${framework}: a route that uses its session, ${bare}`, ...touched, atLeast: 0.9 };
    if (other) {
      const what = `against one with another middleware, which does nothing, ${unit}`;
      yield { name: `${framework}: a route behind the adapter, ${what}`, ...against(untouched, other), atLeast: 0.9 };
    }
    if (session) {
      yield { name: `${framework}: against express-session, ${unit}`, ...against(touched, session), atLeast: 1.6 };
      yield { name: `${framework}: the bare route against express-session, ${unit}`, ...against(floor, session) };
    }
  }
}

async function ofServers(framework, variants) {
  const servers = await Promise.all(variants.map((variant) => start("servers/route.mjs", [framework, variant])));
  try {
    const sides = {};
    for (const [i, variant] of variants.entries()) {
      const request = get("/route", await cookieOf(variant === "express-session" ? servers[i] : servers[2]));
      sides[variant] = () => hammer(servers[i], { request, duration: burst });
    }
    return await compare(sides, { rounds, floor: "bare", warmUp });
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

/** Who does not look at the cookie is sent one all the same. */
async function cookieOf({ port }) {
  const response = await fetch(`http://127.0.0.1:${port}/route`);
  await response.text();
  const [cookie] = response.headers.getSetCookie();
  return cookie ? { cookie: cookie.split(";")[0] } : {};
}
