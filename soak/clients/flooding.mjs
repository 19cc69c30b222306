// Begins work without end, many times, and never comes back: each time it is another client. What all of these may have together
// the judge looks at. It does so now and then only: the others are to have their share of the server.
import { check } from "../lib/wrong.mjs";
import { crowded } from "../settings.mjs";

export const share = 1;

const [bursts, atOnce] = [5, 30];
const headers = { "content-type": "application/json" };
const { unconfirmedRunners } = crowded.options.limits;
/** A session may end of the flood before its own first page is there. */
const begun = [201, 410, 503];

export async function turn(visitor) {
  if (Math.random() > 0.3) return;
  for (let i = 0; i < bursts; i++) {
    await Promise.all(Array.from({ length: atOnce }, () => begin(visitor.stranger())));
    await visitor.pause(visitor.random(3000));
  }
  const answer = await visitor.stranger().ask([200, 503], `${crowded.path}/many`, { method: "POST" });
  if (answer.status === 503) return; // all that there may be are in use at this moment
  const { started } = answer.json();
  check(started <= unconfirmedRunners, `${started} runners of a client that has never come back`);
}

async function begin(stranger) {
  const [name, every] = stranger.pick([
    ["fast", 0],
    ["kept", 50],
    ["paced", 100],
  ]);
  const body = JSON.stringify({ seed: stranger.random(1000), every });
  await stranger.ask(begun, `${crowded.path}/${name}?max-items=1`, { method: "POST", headers, body });
}
