// What an adapter costs a request: the same route with and without it.
import { start } from "../lib/child.mjs";
import { get, hammer } from "../lib/load.mjs";
import { against, compare } from "../lib/measure.mjs";

const burst = 400;
const rounds = 15;
const frameworks = ["node", "fastify", "hono", "fetch", "koa", "express", "nest-express", "nest-fastify"];

export const name = "requests";

export async function* run() {
  for (const framework of frameworks) {
    const variants = ["bare", "untouched", "touched", ...(framework === "express" ? ["express-session"] : [])];
    const servers = await Promise.all(variants.map((variant) => start("servers/route.mjs", [framework, variant])));
    try {
      const sides = {};
      for (const [i, variant] of variants.entries()) {
        const request = get("/route", await cookieOf(variant === "express-session" ? servers[i] : servers[2]));
        sides[variant] = () => hammer(servers[i], { request, duration: burst });
      }
      const results = await compare(sides, { rounds, floor: "bare" });
      for (const variant of ["untouched", "touched"]) {
        const what = `${framework}: a route ${variant === "touched" ? "that uses its session" : "behind the adapter"}`;
        yield {
          name: `${what}, against the bare one, requests per second of processor time`,
          ...results[variant],
          atLeast: 0.9,
        };
      }
      if (framework === "express") {
        const { touched, "express-session": other } = results;
        const what = "express: against express-session, requests per second of processor time";
        yield { name: what, ...against(touched, other), atLeast: 1.6 };
      }
    } finally {
      await Promise.all(servers.map((server) => server.stop()));
    }
  }
}

/** Who does not look at the cookie is sent one all the same. */
async function cookieOf({ port }) {
  const response = await fetch(`http://127.0.0.1:${port}/route`);
  await response.text();
  const [cookie] = response.headers.getSetCookie();
  return cookie ? { cookie: cookie.split(";")[0] } : {};
}
