// Idle sessions: what each holds, what it costs to make and to find one.
import { compareInline } from "../lib/inline.mjs";

export const name = "sessions";

const figures = {
  bytes: { name: "heap of an idle session, against a bare object in a table and a list, bytes", atMost: 1.5 },
  time: { name: "making one of 200,000 sessions, against the bare objects, µs", atMost: 2 },
  get: { name: "get of a live session with its touch, against the bare lookup, per µs", atLeast: 0.67 },
};

export async function* run() {
  for await (const [question, result] of compareInline("inline/sessions.mjs", Object.keys(figures), 3)) {
    yield { ...figures[question], ...result };
  }
}
