// What a list of 10,000 arriving items costs a page in React, in Chromium.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { findChromium } from "../../scripts/chromium.mjs";
import { start } from "../lib/child.mjs";

export const group = "react";

const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"];
const quiet = ["--disable-background-networking", "--disable-component-update"];

async function open(way, dist) {
  const executablePath = findChromium();
  if (!executablePath) {
    console.log("There is no Chromium: the hooks are left out");
    return undefined;
  }
  const server = await start("servers/page-hooks.mjs", { dist });
  const profile = mkdtempSync(join(tmpdir(), "active-session-bench-"));
  const options = { executablePath, headless: true, args: [...flags, ...quiet] };
  const context = await chromium.launchPersistentContext(profile, options);
  const measure = async () => {
    const page = await context.newPage();
    await page.goto(`http://127.0.0.1:${server.port}/?way=${way}`);
    await page.waitForFunction(() => document.title === "done", undefined, { timeout: 60_000 });
    const result = await page.evaluate(() => globalThis.result());
    await page.close();
    return result;
  };
  const stop = async () => {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
    await server.stop();
  };
  return { measure, stop };
}

const peers = { streamed: "TanStack Query's streamedQuery", hand: "a hook by hand" };
const what = "the React hook with 10,000 items";
const values = {
  frame: "95th percentile of a frame, ms",
  time: "time until all are shown, ms",
};

export const cases = [
  {
    name: "react",
    ours: ["ours"],
    open,
    rounds: 4,
    figures: [
      { name: `${what}: renders in a frame`, of: "ours", value: "renders", atMost: 1 },
      ...Object.entries(values).flatMap(([value, text]) =>
        Object.entries(peers).map(([against, beside]) => ({
          ...{ name: `${what}: ${text}`, beside, of: "ours", against, value, atMost: 1.1 },
        })),
      ),
    ],
  },
];
