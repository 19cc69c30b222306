// `npm run screenshots`: builds, serves the demo, and photographs each page before, at and after its work, on a phone and on a desktop,
// light and dark, into the folder screenshots/. To be looked at after a change to a page.
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { findChromium } from "./chromium.mjs";
import { prepare } from "./prepare.mjs";

const folder = "screenshots";
const sizes = [
  { kind: "phone", viewport: { width: 380, height: 760 }, deviceScaleFactor: 2 },
  { kind: "desktop", viewport: { width: 1200, height: 800 }, deviceScaleFactor: 1 },
];
const devices = ["light", "dark"].flatMap((colorScheme) =>
  sizes.map(({ kind, ...size }) => ({ name: `${kind}-${colorScheme}`, ...size, colorScheme })),
);

prepare();
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder);
const { createActiveSessions } = await import("active-session");
const { createDemo } = await import("../examples/demo/dist/app.js");
const sessions = createActiveSessions();
const server = createDemo({ sessions }).listen(0, "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));
const url = `http://127.0.0.1:${server.address().port}`;
const browser = await chromium.launch({ executablePath: findChromium(), args: ["--no-sandbox", "--disable-gpu"] });
try {
  for (const { name, ...device } of devices) {
    const context = Object.assign(await browser.newContext(device), { name });
    const page = await context.newPage();
    const shoot = (what) => page.screenshot({ path: join(folder, `${what}-${name}.png`) });
    const state = (wanted) => page.locator(`#status[data-state="${wanted}"]`).waitFor();
    await search(page, shoot, state);
    await monitor(page, shoot);
    await checksum(page, shoot, state);
    await exclusive(context, page, shoot, state);
    await files(page, shoot, state);
    await home(page, shoot, state);
    await context.close();
  }
} finally {
  await browser.close();
  await sessions.close();
  server.closeAllConnections();
  server.close();
}
console.log(`The pictures are in ${folder}/`);

async function search(page, shoot, state) {
  await page.goto(`${url}/search`);
  await shoot("search-idle");
  await page.getByLabel("Word").fill("session");
  await page.getByRole("button", { name: "Search" }).click();
  await state("running");
  await shoot("search-running");
  await page.getByRole("button", { name: "Stop" }).click();
  await state("stopped");
  await shoot("search-stopped");
}

async function monitor(page, shoot) {
  await page.goto(`${url}/monitor`);
  await shoot("monitor-idle");
  await page.getByLabel("Every").selectOption("100");
  await page.getByRole("button", { name: "Start" }).click();
  await page
    .locator("#status")
    .filter({ hasText: /([3-9]\d|\d{3}) measurements/ })
    .waitFor();
  await shoot("monitor-running");
}

async function checksum(page, shoot, state) {
  await page.goto(`${url}/checksum`);
  await shoot("checksum-idle");
  for (const wait of await page.getByRole("button", { name: "Wait" }).all()) await wait.click();
  await page.getByRole("button", { name: "Start" }).click();
  await page.getByText("Reached").first().waitFor();
  await shoot("checksum-running");
  await state("completed");
  await shoot("checksum-completed");
}

async function exclusive(context, page, shoot, state) {
  await page.goto(`${url}/exclusive`);
  await page.getByRole("button", { name: "Start" }).click();
  await state("running");
  const second = await context.newPage();
  await second.goto(`${url}/exclusive`);
  await second.getByRole("button", { name: "Start" }).click();
  await second.locator("#status[data-state=starting]").waitFor();
  await second.screenshot({ path: join(folder, `exclusive-waiting-${context.name}.png`) });
  await second.close();
  await shoot("exclusive-running");
  await page.getByRole("button", { name: "Stop" }).click();
  await state("stopped");
}

async function files(page, shoot, state) {
  await page.goto(`${url}/files`);
  await shoot("files-idle");
  await page.getByRole("button", { name: "List" }).click();
  await state("running");
  await shoot("files-running");
  await state("completed");
  await shoot("files-completed");
}

async function home(page, shoot, state) {
  await page.goto(url);
  await state("running");
  await page.getByRole("row").nth(3).waitFor();
  await shoot("home-running");
  await page.getByRole("button", { name: "New session" }).click();
  await shoot("home-question");
  await page.getByRole("button", { name: "Keep it" }).click();
  for (const session of sessions.sessions()) await session.terminate();
  await state("problem");
  await shoot("home-ended");
}
