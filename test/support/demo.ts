/** The demo in a real browser: served on a free port, with steps of the test's own in the work, stopped and started at will. */
import type { Server } from "node:http";
import { type ActiveSessions, createActiveSessions } from "active-session";
import type { Page } from "playwright-core";
import { createDemo, type DemoOptions } from "../../examples/demo/dist/app.js";
import type { useBrowser } from "./browser.js";
import { atEnd } from "./cleanup.js";
import { listen } from "./server.js";

/** A demo that is being served. */
export interface ServedDemo {
  readonly sessions: ActiveSessions;
  readonly url: string;
  /** Opens a page of it in a tab of its own. */
  open(path: string): Promise<Page>;
  /** Lets the server vanish, connections and all. */
  stop(): Promise<void>;
  /** Serves again on the same port. */
  start(): Promise<void>;
}

/** Serves the demo. */
export async function openDemo(
  browser: ReturnType<typeof useBrowser>,
  options: Omit<DemoOptions, "sessions"> & { readonly sessions?: ActiveSessions } = {},
): Promise<ServedDemo> {
  const sessions = options.sessions ?? createActiveSessions();
  atEnd(() => sessions.close());
  const { server, url } = await listen(createDemo({ ...options, sessions }));
  return {
    ...{ sessions, url },
    open: async (path) => {
      const page = await browser.open(url + path);
      page.setDefaultTimeout(10_000);
      atEnd(() => page.close());
      return page;
    },
    stop: () => stop(server),
    start: () => new Promise<void>((resolve) => server.listen(Number(new URL(url).port), "127.0.0.1", resolve)),
  };
}

function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** Waits until the page says how things stand in words that contain the text. */
export async function shows(page: Page, text: string): Promise<void> {
  await page.locator("#status").filter({ hasText: text }).waitFor();
}

/** Presses the button of this name. */
export async function press(page: Page, name: string): Promise<void> {
  await page.getByRole("button", { name, exact: true }).click();
}

/** How much of the page is wider than its window, px. */
export function overflow(page: Page): Promise<number> {
  return page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
}

/** Moves the focus by Tab until it is on the element that matches. */
export async function tabTo(page: Page, selector: string): Promise<void> {
  const target = page.locator(selector);
  while (!(await target.evaluate((element) => element === document.activeElement))) await page.keyboard.press("Tab");
}
