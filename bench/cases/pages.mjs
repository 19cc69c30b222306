// A page of a hundred items over HTTP.
import { start } from "../lib/child.mjs";
import { get, hammer } from "../lib/load.mjs";
import { compare } from "../lib/measure.mjs";

export const name = "pages";

export async function* run() {
  const [ours, bare] = await Promise.all(["ours", "bare"].map((variant) => start("servers/page.mjs", [variant])));
  try {
    const { answer: path } = await ours.ask("path");
    await checkAlike(ours.port, bare.port, path);
    const side = (server) => () => hammer(server, { request: get(path), duration: 400 });
    const results = await compare({ bare: side(bare), ours: side(ours) }, { rounds: 15, floor: "bare" });
    const what =
      "a page of 100 read over HTTP, against a bare route that stringifies and sends the same, pages per second of processor time";
    yield { name: what, ...results.ours, atLeast: 0.9 };
  } finally {
    await Promise.all([ours.stop(), bare.stop()]);
  }
}

/** Both must send the same number of bytes under the same names. */
async function checkAlike(ours, bare, path) {
  const answers = await Promise.all([ours, bare].map((port) => fetch(`http://127.0.0.1:${port}${path}`)));
  const [one, other] = await Promise.all(
    answers.map(async (answer) => JSON.stringify([[...answer.headers.keys()], await answer.text()])),
  );
  if (one !== other) throw new Error(`The answers are not alike: ${one.slice(0, 700)}, ${other.slice(0, 700)}`);
}
