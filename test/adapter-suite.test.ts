/** Every adapter of the library does what the suite for adapters asks of any. */
import { describe, expect, test } from "vitest";
import * as forFetch from "../src/fetch.js";
import { type AdapterPlan, adapterScenarios } from "../src/testing.js";
import { adapters } from "./support/adapters.js";
import { openHost } from "./support/control.js";

describe.each(Object.entries(adapters))("the adapter for %s", (_name, adapter) => {
  const own = adapterScenarios.filter(({ suits }) => suits(adapter));
  test.each(own.map((one) => [one.name, one] as const))("%s", (_scenario, { run }) => run(adapter));
});

test("a request of the web platform that does not name its host is its address's own", async () => {
  const sessions = openHost();
  const { key } = await (await sessions.get("ann")).createSequenceRunner([1]);
  const runners = forFetch.runnerRouter(sessions);
  const answer = forFetch.activeSession(sessions, { identify: () => "ann" })(
    async (request) => (await runners(request))!,
  );
  const abort = async (origin: string) =>
    (await answer(new Request(`https://app.example/runners/${key}/abort`, { method: "POST", headers: { origin } })))
      .status;
  expect([await abort("https://evil.example"), await abort("https://app.example")]).toEqual([403, 200]);
});

describe("the suite finds", () => {
  const adapter = adapters["Express 5, express-session"]!;
  const faults: Record<string, (plan: AdapterPlan) => Partial<AdapterPlan>> = {
    "an adapter that serves at a path of its own choice": () => ({ mount: "/runners" }),
    "an adapter that takes no options": () => ({ options: {} }),
    "an adapter whose router exposes nothing": () => ({ router: {} }),
    "an adapter that looks at sessions of the framework nowhere": () => ({ withFrameworkSession: false }),
    "an adapter that believes no proxy": () => ({ behindProxy: false }),
    "an application whose routes do nothing": ({ routes }) => ({
      routes: Object.fromEntries(Object.keys(routes).map((path) => [path, async () => ({})])),
    }),
  };

  test.each(Object.entries(faults))("%s", async (_fault, spoil) => {
    const faulty = { ...adapter, open: (plan: AdapterPlan) => adapter.open({ ...plan, ...spoil(plan) }) };
    const outcomes = await Promise.allSettled(adapterScenarios.map(({ run }) => run(faulty)));
    const errors = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason as Error] : []));
    expect(errors.length).toBeGreaterThan(0);
    expect(errors.length).toBeLessThan(outcomes.length);
  });
});
