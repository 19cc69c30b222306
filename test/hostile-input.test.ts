/** What others may send: JSON of any depth, identities of any text, addresses of any form. */
import fastify from "fastify";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import * as forFastify from "../src/fastify.js";
import { defineSequenceRunner } from "../src/session/define.js";
import type { AdapterRoute } from "../src/testing.js";
import { adapters } from "./support/adapters.js";
import { atEnd } from "./support/cleanup.js";
import { openHost } from "./support/control.js";
import { openAdapter } from "./support/stage.js";

const all = Object.entries(adapters);
const json = { "content-type": "application/json" };

/** Where the framework parses bodies itself, what is nested so deep is refused already: the value cannot be made text again. */
const ownReaders = all.filter(([, { readsBodies }]) => !readsBodies);

describe.each(ownReaders)("an input that is nested 16,000 deep, %s", (_name, adapter) => {
  const definitions = {
    "that looks into all of it": defineSequenceRunner({ name: "work", input: z.json(), run: () => [1] }),
    "that gives it back": defineSequenceRunner({ name: "work", run: (input: unknown) => [input] }),
  };
  const shapes = {
    arrays: "[".repeat(16_000) + "]".repeat(16_000),
    objects: `${'{"a":'.repeat(16_000)}1${"}".repeat(16_000)}`,
  };

  test.each(Object.entries(definitions))(
    "is the client's fault, not the server's, for a definition %s",
    async (_what, definition) => {
      const { browser, sessions } = await openAdapter(adapter, { router: { expose: [definition] } });
      for (const [shape, body] of Object.entries(shapes)) {
        const response = await browser().ask("/runners/work", { method: "POST", headers: json, body });
        expect([shape, Math.floor(response.status / 100)]).toEqual([shape, 4]);
        expect(response.headers.get("runner-error-code")).toMatch(/^[A-Z_]+$/);
      }
      expect(sessions.stats().sessions).toBe(0); // what is refused makes none
    },
  );
});

describe("an identity with half a surrogate pair", () => {
  const halves = ["ann\ud800", "ann\udbff", "\udc00ann", "\udfff"];
  const refused = { code: "INVALID_IDENTITY" };

  test("is refused by the host: what differs in it only would be one session outside", async () => {
    const sessions = openHost();
    for (const identity of halves) {
      await expect(sessions.get(identity)).rejects.toMatchObject(refused);
      await expect(sessions.find(identity)).rejects.toMatchObject(refused);
      await expect(sessions.get(identity, "tab")).rejects.toMatchObject(refused);
    }
    expect(sessions.stats().sessions).toBe(0);
    const whole = await Promise.all(
      ["ann😀", "ann\ud83d\ude01", "ann\ufffd"].map((identity) => sessions.get(identity)),
    );
    expect(new Set(whole.map(({ id }) => id)).size).toBe(3);
  });

  test.each(all)("is refused where identify gives it: %s", async (_name, adapter) => {
    const own: AdapterRoute = async (_request, session) => ({ id: session().id });
    const identify = (request: object) => halves[Number(adapter.header(request, "x-user"))];
    const { browser, sessions } = await openAdapter(adapter, { routes: { "/own": own }, options: { identify } });
    for (const index of halves.keys()) {
      const response = await browser({ "x-user": String(index) }).ask("/own", { method: "POST" });
      expect([index, response.status]).toEqual([index, 500]);
    }
    expect(sessions.stats().sessions).toBe(0);
  });
});

describe("Fastify serves runners", () => {
  const count = defineSequenceRunner({
    name: "count",
    run: function* ({ to }: { readonly to: number }) {
      for (let n = 1; n <= to; n++) yield n;
    },
  });

  /** An application that serves runners at a prefix; every request is Ann's. */
  async function open(prefix: string, ignoreDuplicateSlashes: boolean) {
    const sessions = openHost();
    const app = fastify({ routerOptions: { ignoreDuplicateSlashes }, forceCloseConnections: true });
    await app.register(forFastify.activeSession, { sessions, identify: () => "ann" });
    await app.register(forFastify.runnerRouter, { prefix, sessions, expose: [count] });
    const url = await app.listen({ port: 0, host: "127.0.0.1" });
    atEnd(() => app.close());
    return url;
  }

  /** Does what can be done with runners, below an address. */
  async function useAll(mount: string, slash = "/") {
    const created = await fetch(`${mount}${slash}count?max-items=2`, {
      method: "POST",
      headers: json,
      body: '{"to":50}',
    });
    expect(created.status).toBe(201);
    const { key, items } = (await created.json()) as { key: string; items: number[] };
    expect(items).toEqual([1, 2]);
    const runner = `${mount}${slash}${key}`;
    const read = async (query: string) => (await fetch(runner + query)).json();
    expect(await read("?offset=48")).toEqual([49, 50]);
    expect(await read("?offset=48&live=long-poll")).toEqual([49, 50]);
    expect(await (await fetch(`${runner}?offset=48&live=sse`)).text()).toContain("[49,50]");
    expect(await read(`${slash}state`)).toMatchObject({ key });
    expect(await (await fetch(mount)).json()).toEqual([expect.objectContaining({ key })]);
    const post = async (rest: string) => (await fetch(runner + rest, { method: "POST" })).status;
    expect([await post(`${slash}ack?offset=48`), await post(`${slash}abort`)]).toEqual([204, 200]);
    expect((await fetch(runner, { method: "DELETE" })).status).toBe(204);
    expect((await fetch(runner)).status).toBe(410);
    return new URL(created.headers.get("location")!, created.url).pathname;
  }

  test.each([
    ["shorter than the parameter's name", "/t/:tenant/runners", "/t/a/runners"],
    ["longer than the parameter's name", "/t/:tenant/runners", "/t/a-tenant-of-a-long-name/runners"],
    ["with encoded letters", "/t/:tenant/runners", "/t/a%2Fb%20c/runners"],
    ["that is one of two", "/:region/t/:tenant/runners", "/eu/t/acme/runners"],
    ["that a pattern restricts", "/t/:tenant(^\\d+)/runners", "/t/4711/runners"],
  ])("below a prefix with a parameter, for a value %s", async (_what, prefix, path) => {
    const url = await open(prefix, false);
    expect(await useAll(url + path)).toMatch(new RegExp(`^${path}/\\d`));
  });

  test.each([
    ["in front", "//runners", "/"],
    ["behind the prefix", "/runners", "//"],
    ["everywhere", "///runners", "///"],
  ])("with duplicate slashes %s, where Fastify ignores these", async (_where, path, slash) => {
    await useAll((await open("/runners", true)) + path, slash);
  });

  test("with duplicate slashes and a prefix with a parameter", async () => {
    await useAll(`${await open("/t/:tenant/runners", true)}//t//acme//runners`, "//");
  });
});
