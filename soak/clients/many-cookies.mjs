// Brings many cookies, of which one is ours; or never sends back the one that it gets, so that each request makes a session.
import { expectStatus, head } from "../lib/socket.mjs";
import { check } from "../lib/wrong.mjs";

export const share = 1;

const init = { method: "POST", headers: { "content-type": "application/json" } };

export async function turn(visitor) {
  await amongOthers(visitor);
  for (let i = 0; i < 8; i++) await withoutJar(visitor);
  await expectStatus(visitor, head("GET", "/runners", { Cookie: "a=b; ".repeat(5000) }), [431]);
}

async function amongOthers(visitor) {
  const { key } = await visitor.createQuietly("paced", { count: 50, every: 100 });
  const junk = Array.from({ length: 60 }, (_, i) => `${visitor.pick(["a", "active-sessio", "session"])}${i}=${i}`);
  const cookie = [...junk.slice(0, 30), "=; ;;", visitor.cookie, ...junk.slice(30)].join("; ");
  const response = await visitor.open(`${key}?offset=0&max-items=1`, { headers: { cookie } });
  response.resume();
  check(response.statusCode === 200, `among many cookies ours is not found: ${response.statusCode}`);
}

/** The place that is tight makes room, or refuses. */
async function withoutJar(visitor) {
  visitor.forget();
  const body = JSON.stringify({ seed: visitor.random(1000), count: 100 });
  await visitor.ask([201, 503], "/tight/fast?max-items=1", { ...init, body });
  visitor.forget();
}
