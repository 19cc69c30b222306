/** The client in a page of another origin than its server: what is told when CORS is missing, and what it takes; and offline. */
import express from "express";
import { describe, expect, test } from "vitest";
import { activeSession, runnerRouter } from "../../src/express.js";
import { defineSequenceRunner } from "../../src/index.js";
import { browserPath, sharedBrowser } from "../support/browser.js";
import { createIn, openClientApp, shown } from "../support/client-page.js";
import { openHost } from "../support/control.js";
import { waitUntil } from "../support/patience.js";
import { listen } from "../support/server.js";

const browser = sharedBrowser();
const count = defineSequenceRunner({ name: "count", run: () => [1, 2, 3] });

/** A server that lets the page of `origin` in, if there is one. */
function serve(origin?: string) {
  const sessions = openHost();
  const app = express();
  if (origin) {
    app.use((request, response, next) => {
      response.set({
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        Vary: "Origin",
      });
      if (request.method !== "OPTIONS") return next();
      response.set("Access-Control-Allow-Methods", "GET, POST, DELETE");
      response.set("Access-Control-Allow-Headers", "content-type, idempotency-key, runner-label").sendStatus(204);
    });
  }
  app.use(activeSession(sessions));
  app.use("/runners", runnerRouter(sessions, { expose: [count], ...(origin && { allowedOrigins: [origin] }) }));
  return listen(app);
}

describe.skipIf(!browserPath)("the client in Chromium, in a page of another origin", () => {
  const complaints = /CORS policy|ERR_FAILED|404/; // Chromium writes each request that fails to the console

  test("says at once that CORS may be missing, and names both addresses", async () => {
    const app = await openClientApp(browser, { complaints });
    const { url } = await serve();
    const page = await app.open();
    const attempt = (url: string) => {
      const client = window.library.createClient(`${url}/runners`, { credentials: "include" });
      return client.create("count").then(
        () => "created",
        ({ code, message }) => ({ code, message }),
      );
    };
    const problem = await page.evaluate(attempt, url);
    expect(problem).toMatchObject({ code: "UNEXPECTED_RESPONSE" });
    expect(JSON.stringify(problem)).toContain("CORS");
    expect(JSON.stringify(problem)).toContain(`${url}/runners/count`);
    expect(JSON.stringify(problem)).toContain(app.url);
  });

  test("creates and follows with the three settings that belong together", async () => {
    const app = await openClientApp(browser);
    const { url } = await serve(app.url);
    const page = await app.open();
    const items = await page.evaluate(async (url) => {
      const client = window.library.createClient(`${url}/runners`, { credentials: "include" });
      const taken: unknown[] = [];
      for await (const item of await client.create("count", undefined, { maxItems: 1 })) taken.push(item);
      return taken;
    }, url);
    expect(items).toEqual([1, 2, 3]);
  });

  test("goes on trying when a server that has answered before is away", async () => {
    const app = await openClientApp(browser, { complaints: /ERR_/ });
    const page = await app.openKnown();
    await createIn(page, "rows", "a");
    app.source("a").push(1);
    await shown(page, "a", 1);
    await app.stop();
    await page.waitForFunction(() => window.watched.a?.connections.at(-1)?.startsWith("retrying"), null, {
      polling: 20,
    });
    await app.start();
    app.source("a").push(2);
    expect(await shown(page, "a", 2)).toEqual([1, 2]);
  });
});

test.skipIf(!browserPath)(
  "a page without a network tells that it is offline, and goes on when the network is back",
  async () => {
    const app = await openClientApp(browser, { complaints: /ERR_/ });
    const page = await app.openKnown();
    await createIn(page, "rows", "a");
    app.source("a").push(1);
    await shown(page, "a", 1);
    await browser.context.setOffline(true);
    try {
      await page.waitForFunction(() => window.watched.a?.connections.at(-1)?.startsWith("offline"), null, {
        polling: 20,
      });
      app.source("a").push(2);
    } finally {
      await browser.context.setOffline(false);
    }
    expect(await shown(page, "a", 2)).toEqual([1, 2]);
    const states = await page.evaluate(() => window.watched.a!.connections.map((state) => state.split(":")[0]));
    expect(states.slice(states.indexOf("offline"))).not.toContain("retrying");
    await waitUntil(() => app.traffic.live.size === 1);
  },
);
