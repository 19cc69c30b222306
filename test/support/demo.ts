/** The demo in a real browser: served on a free port, with steps of the test's own in the work, stopped and started at will. */
import type { IncomingMessage, RequestListener, Server } from "node:http";
import { type ActiveSessions, createActiveSessions } from "active-session";
import type { Page } from "playwright-core";
import { createDemo, type DemoOptions } from "../../examples/demo/dist/app.js";
import type { sharedBrowser } from "./browser.js";
import { atEnd } from "./cleanup.js";
import { listen } from "./server.js";

/** A demo that is being served. */
export interface ServedDemo {
  readonly sessions: ActiveSessions;
  readonly url: string;
  /** The requests that have come to the server, and whose response is not over. */
  readonly live: ReadonlySet<IncomingMessage>;
  /** Opens a page of it in a tab of its own. */
  open(path: string): Promise<Page>;
  /** Lets the server vanish, connections and all. */
  stop(): Promise<void>;
  /** Serves again on the same port. */
  start(): Promise<void>;
  /** As after a restart of the process: the same port, and nothing left of what there was. */
  restart(): Promise<void>;
}

/** Serves the demo. */
export async function openDemo(
  browser: ReturnType<typeof sharedBrowser>,
  options: Omit<DemoOptions, "sessions"> & { readonly sessions?: ActiveSessions } = {},
): Promise<ServedDemo> {
  const sessions = options.sessions ?? createActiveSessions();
  atEnd(() => sessions.close());
  const live = new Set<IncomingMessage>();
  const watched =
    (demo: RequestListener): RequestListener =>
    (request, response) => {
      live.add(request);
      response.once("close", () => live.delete(request));
      demo(request, response);
    };
  const { server, url } = await listen(watched(createDemo({ ...options, sessions })));
  const start = () => new Promise<void>((resolve) => server.listen(Number(new URL(url).port), "127.0.0.1", resolve));
  return {
    ...{ sessions, url, live, start },
    open: async (path) => {
      const page = await browser.open(url + path);
      atEnd(() => page.close());
      return page;
    },
    stop: () => stop(server),
    restart: async () => {
      await stop(server);
      const next = createActiveSessions();
      atEnd(() => next.close());
      server.removeAllListeners("request").on("request", watched(createDemo({ ...options, sessions: next })));
      await start();
    },
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

/** Presses the button of this name. A tab in the background draws once a second only, which a click would wait for. */
export async function press(page: Page, name: string): Promise<void> {
  await page.bringToFront();
  await page.getByRole("button", { name, exact: true }).click();
}

/** Asks the home page for a new session, and agrees to what that ends. */
export async function newSession(home: Page): Promise<void> {
  await press(home, "New session");
  await press(home, "End it");
}

/** The path of a page that shows the same work, for another tab. */
export function samePath(page: Page): string {
  const { pathname, hash } = new URL(page.url());
  return pathname + hash;
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
