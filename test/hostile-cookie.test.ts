/** Cookies that others have planted, and answers with ours that others may keep. */
import { json } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import type { AdapterRoute } from "../src/testing.js";
import { adapters } from "./support/adapters.js";
import { openHost } from "./support/control.js";
import { pageApps } from "./support/page-apps.js";
import { askHttp, openAdapter } from "./support/stage.js";

const all = Object.entries(adapters);
const name = "active-session";
const issued = /^active-session=[\w-]{22}\.[\w-]{11}; Path=\/; HttpOnly; SameSite=Lax$/;

/** Answers with the id of the client's session; ends it. */
const own: AdapterRoute = async (_request, session) => ({ id: session().id });
const end: AdapterRoute = async (_request, session) => {
  await session().terminate();
  return {};
};
const routes = { "/own": own, "/end": end };

describe.each(all)("a cookie, %s", (_name, adapter) => {
  test.each([
    ["of random letters", () => "A".repeat(22)],
    ["of the right form with a signature that is none of ours", () => `${"A".repeat(22)}.${"A".repeat(11)}`],
    [
      "that was issued, and was changed in one letter",
      (value: string) => (value[0] === "A" ? "B" : "A") + value.slice(1),
    ],
    ["that was issued, without its signature", (value: string) => value.slice(0, 22)],
  ])("%s is ignored and replaced, for each client by another one", async (_what, plant) => {
    const { browser, sessions } = await openAdapter(adapter, { routes });
    const visitor = browser();
    await visitor.post("/own");
    const planted = plant(visitor.cookies.get(name)!);
    const lines = new Set<string>();
    for (const victim of [browser(), browser()]) {
      victim.cookies.set(name, planted);
      const [line = "none was set", ...others] = (await victim.ask("/own", { method: "POST" })).headers.getSetCookie();
      expect(line).toMatch(issued);
      expect(others).toEqual([]);
      expect(victim.cookies.get(name)).not.toBe(planted);
      lines.add(line);
    }
    expect([lines.size, sessions.stats().sessions]).toEqual([2, 3]);
  });

  test("that was issued is known by its signature when its session has ended, and by a process with the same secret only", async () => {
    const [before, after, other] = [
      await openAdapter(adapter, { routes }, { secret: "one secret" }),
      await openAdapter(adapter, { routes }, { secret: "one secret" }),
      await openAdapter(adapter, { routes }, { secret: "another secret" }),
    ];
    const visitor = before.browser();
    const [line] = (await visitor.ask("/own", { method: "POST" })).headers.getSetCookie();
    expect(line).toMatch(issued);
    const ask = async ({ browser }: typeof before, path: string) => {
      const again = browser();
      for (const cookie of visitor.cookies) again.cookies.set(...cookie);
      return (await again.ask(path, { method: "POST" })).headers.getSetCookie();
    };
    await ask(before, "/end");
    expect([await ask(before, "/own"), await ask(after, "/own")]).toEqual([[], []]);
    expect(await ask(other, "/own")).toEqual([expect.stringMatching(issued)]);
  });

  test.each([
    ["at the beginning", (pair: string) => `\u00a0${pair}`],
    ["behind another cookie", (pair: string) => `x=1;\u00a0${pair}`],
    ["behind another cookie and a space", (pair: string) => `x=1; \u00a0${pair}`],
  ])("with a no-break space before __Host- is another one, as it is for browsers: %s", async (_where, forge) => {
    const { url } = await openAdapter(adapter, { routes, options: { cookie: { secure: true } } });
    const ask = async (cookie?: string) => {
      const response = await askHttp(`${url}/own`, { method: "POST", headers: cookie === undefined ? {} : { cookie } });
      const [line] = response.headers["set-cookie"] ?? [];
      return { pair: line?.split(";")[0], ...((await json(response)) as { id: string }) };
    };
    const ann = await ask();
    expect(ann.pair).toMatch(/^__Host-active-session=/);
    expect(await ask(`x=1; ${ann.pair}`)).toEqual({ pair: undefined, id: ann.id });
    const forged = await ask(forge(ann.pair!));
    expect(forged.id).not.toBe(ann.id);
    expect(forged.pair).toMatch(/^__Host-active-session=/);
  });
});

/** Asks for the page, as a client that is new, then once more with its cookie; returns what both may do with the answer. */
async function cacheControls(url: string, cache: string | undefined, when: string) {
  const query = new URLSearchParams({ when, ...(cache !== undefined && { cache }) });
  const first = await fetch(`${url}/page?${query}`);
  expect(await first.text()).toBe("page");
  const cookies = first.headers.getSetCookie();
  expect(cookies).toHaveLength(1);
  const second = await fetch(`${url}/page?${query}`, { headers: { cookie: cookies[0]!.split(";")[0]! } });
  expect(await second.text()).toBe("page");
  expect(second.headers.getSetCookie()).toEqual([]);
  return { withCookie: first.headers.get("cache-control"), without: second.headers.get("cache-control") };
}

const sharing = [undefined, "public, max-age=60", "max-age=60", 'no-cache="Set-Cookie"', "no-cache"];
const forbidding = ["no-store", "private", "private, max-age=60", "No-Store", "max-age=60, PRIVATE"];

describe.each(Object.entries(pageApps))(
  "an answer of the application's own that carries our cookie, %s",
  (_name, app) => {
    test.each(["before", "after", ...(app.writesHeads ? ["head"] : [])])(
      "is no one else's to keep, whatever the application says of sharing (%s)",
      async (when) => {
        const url = await app.open(openHost());
        for (const cache of sharing) {
          const { withCookie, without } = await cacheControls(url, cache, when);
          const directives = (withCookie ?? "").split(/\s*,\s*/);
          expect([
            cache,
            directives.includes("private"),
            directives.includes("no-store"),
            directives.includes("public"),
          ]).toEqual([cache, true, true, false]);
          expect([cache, without]).toEqual([cache, cache ?? null]);
        }
        for (const cache of forbidding) {
          expect(await cacheControls(url, cache, when)).toEqual({ withCookie: cache, without: cache });
        }
      },
    );
  },
);
