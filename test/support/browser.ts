/** A real Chromium for the tests that need one; see scripts/chromium.mjs for how it is found. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach } from "vitest";
import { findChromium } from "../../scripts/chromium.mjs";
import { deadline } from "./patience.js";

/** The browser's path; `undefined`: tests that need it are skipped, which `npm test` reports. */
export const browserPath: string | undefined = process.env.CHROMIUM_PATH ?? findChromium({ mayInstall: false });

/**
 * A browser for the tests of a file: one process, a fresh profile, gone at the end. With `keepsPages` it keeps a page that is left
 * for a while, frozen, for the user to come back to, as browsers do unless Playwright tells them not to. Its `goBack` does not know
 * of such a page, `history.back()` does.
 */
export function sharedBrowser({ keepsPages = false } = {}): {
  readonly context: BrowserContext;
  open(url: string): Promise<Page>;
} {
  let context: BrowserContext | undefined;
  let profile: string;
  beforeAll(async () => {
    if (!browserPath) return;
    profile = mkdtempSync(join(tmpdir(), "active-session-browser-"));
    const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"];
    context = await chromium.launchPersistentContext(profile, {
      executablePath: browserPath,
      headless: true,
      timeout: deadline(),
      ...(keepsPages && { ignoreDefaultArgs: ["--disable-back-forward-cache"] }),
      args: [...flags, "--disable-background-networking", "--disable-component-update"],
    });
  });
  beforeEach(() => context?.setDefaultTimeout(deadline())); // for whatever waits in its pages
  afterAll(async () => {
    await context?.close();
    if (profile) rmSync(profile, { recursive: true, force: true });
  });
  return {
    get context() {
      if (!context) throw new Error("There is no browser");
      return context;
    },
    async open(url) {
      const page = await this.context.newPage();
      await page.goto(url);
      return page;
    },
  };
}
