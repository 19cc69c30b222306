/** The examples in docs/ run as they stand; what they take for granted is given to them here. */
import * as diagnostics from "node:diagnostics_channel";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as awilix from "awilix";
import express from "express";
import nodemailer from "nodemailer";
import { describe, expect, test, vi } from "vitest";
import webpush from "web-push";
import { z } from "zod";
import * as ofAwilix from "../src/awilix.js";
import * as ofClient from "../src/client.js";
import * as ofExpress from "../src/express.js";
import * as core from "../src/index.js";
import { openHost } from "./support/control.js";
import { listen } from "./support/server.js";

const docs = fileURLToPath(new URL("../docs/", import.meta.url));
const pages = readdirSync(docs, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".md"));
/** What these take for granted is a server and a network: protocol-examples.test.ts, framework-examples.test.ts and drain-processes.test.ts run them. */
const runElsewhere = /^(protocol|frameworks|start\/shutdown)\b/;
const AsyncFunction = (async () => {}).constructor as new (...parts: string[]) => (...args: unknown[]) => Promise<void>;

/** A browser's subscription to a service that takes encrypted messages only, as those of browsers do. */
async function openPushService() {
  const service = express().post("/push", (request, response) => {
    const isEncrypted =
      request.headers["content-encoding"] === "aes128gcm" && /^vapid t=/.test(request.headers.authorization ?? "");
    response.sendStatus(isEncrypted && Number(request.headers["content-length"]) > 86 ? 201 : 400);
  });
  const { publicKey, privateKey: _ } = webpush.generateVAPIDKeys();
  const { url } = await listen(service);
  return { endpoint: `${url}/push`, keys: { p256dh: publicKey, auth: Buffer.alloc(16, 1).toString("base64url") } };
}

describe.each(pages)("docs/%s", (page) => {
  const examples = [...readFileSync(docs + page, "utf8").matchAll(/^## ([^\n]*)$|```js\n(.*?)```/gms)];
  let section = page;
  const cases: [string, string][] = [];
  for (const [, heading, code] of examples) {
    if (heading) section = heading;
    else if (code && !runElsewhere.test(page)) cases.push([section, code]);
  }

  test("has links that lead somewhere", () => {
    const links = [...readFileSync(docs + page, "utf8").matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)];
    for (const [, link] of links) expect(readFileSync(join(docs, dirname(page), link!), "utf8")).toBeDefined();
  });

  for (const [name, code] of cases) {
    test(`the example of “${name}” runs, and what it asserts holds`, async () => {
      vi.spyOn(console, "log").mockImplementation(() => {});
      const assert = vi.spyOn(console, "assert").mockImplementation(() => {});
      const app = express();
      const sessions = openHost();
      app.use(ofExpress.activeSession(sessions, { identify: () => "ann" }));
      const others = { z, nodemailer, webpush, subscription: await openPushService() };
      const given = {
        ...core,
        ...ofClient,
        ...ofExpress,
        ...ofAwilix,
        ...awilix,
        ...diagnostics,
        ...others,
        app,
        sessions,
      };
      const session = await sessions.get("ann");
      const names = Object.keys({ ...given, session }).filter((one) => one !== "default");
      const values = { ...given, session } as Record<string, unknown>;
      await new AsyncFunction(...names, code.replace(/^import .*$/gm, ""))(...names.map((one) => values[one]));
      for (const [holds] of assert.mock.calls) expect(holds).toBe(true);
      await listen(app); // what has been added to it is a valid application
    });
  }
});
