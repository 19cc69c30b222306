// A page of a hundred items over HTTP.
import { start } from "../lib/child.mjs";
import { get, hammer } from "../lib/load.mjs";
import { compare } from "../lib/measure.mjs";

export const name = "pages";

export async function* run() {
  const [ours, bare] = await Promise.all(["ours", "bare"].map((variant) => start("servers/page.mjs", [variant])));
  try {
    const { answer: path } = await ours.ask("path");
    const side =
      ({ port }) =>
      () =>
        hammer({ port, request: get(path), duration: 600 });
    const results = await compare({ bare: side(bare), ours: side(ours) }, { rounds: 9, floor: "bare" });
    const what = "a page of 100 read over HTTP, against a bare route that stringifies them, pages/s";
    yield { name: what, ...results.ours, atLeast: 0.9 };
  } finally {
    await Promise.all([ours.stop(), bare.stop()]);
  }
}
