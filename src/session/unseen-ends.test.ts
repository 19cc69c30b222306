import { beforeEach, describe, expect, test, vi } from "vitest";
import { openHost, PushSource, turns } from "../../test/support/control.js";
import { inside } from "../../test/support/inside.js";
import { wireRequest } from "../../test/support/wire.js";
import { createRunnerHandler } from "../http/router.js";
import type { Runner } from "../runner/runner.js";
import { defineProcessRunner, defineSequenceRunner } from "./define.js";

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => {
  vi.useFakeTimers();
});

async function open(more: { readonly onUnseen?: (runner: Runner) => unknown; readonly unseenAfter?: number } = {}) {
  const warn = vi.fn();
  const host = openHost({ logger: { warn } });
  const source = new PushSource<number>();
  const onUnseen = vi.fn();
  const work = defineSequenceRunner({ name: "work", run: (_: null) => source, onUnseen, ...more });
  const session = await host.get("ann");
  const runner = await session.createRunner(work, null, { data: { mail: "ann@example.org" } });
  const handle = createRunnerHandler(inside(host));
  const ask = (query: string, rest: { method?: string; action?: string; headers?: Record<string, string> } = {}) =>
    handle(wireRequest(host, runner.key, { ...rest, query: new URLSearchParams(query) }));
  return { warn, host, session, source, onUnseen, runner, ask };
}

describe("onUnseen", () => {
  test.each<[string, (source: PushSource<number>) => void]>([
    ["completed", (source) => source.end()],
    ["failed", (source) => source.fail(new Error("no more"))],
  ])("is called once when the work has %s and no one has seen that for 30 s", async (_, end) => {
    const { source, onUnseen, runner } = await open();
    source.push(1);
    end(source);
    await pass(29_999);
    expect(onUnseen).not.toHaveBeenCalled();
    await pass(1);
    expect(onUnseen.mock.calls).toEqual([[runner]]);
    expect(onUnseen.mock.calls[0]?.[0].data).toEqual({ mail: "ann@example.org" });
    await pass(600_000);
    expect(onUnseen).toHaveBeenCalledTimes(1);
  });

  test("comes after unseenAfter, for a process too", async () => {
    const onUnseen = vi.fn();
    const work = defineProcessRunner({ name: "w", run: async (n: number) => n, onUnseen, unseenAfter: 500 });
    const session = await openHost().get("ann");
    const runner = await session.createRunner(work, 1);
    await pass(499);
    expect(onUnseen).not.toHaveBeenCalled();
    await pass(1);
    expect(onUnseen.mock.calls).toEqual([[runner]]);
  });

  test.each<[string, (parts: Awaited<ReturnType<typeof open>>) => unknown]>([
    ["a read in the process", ({ runner }) => runner.getRequired()],
    ["a read of what is available", ({ runner }) => runner.getAvailable()],
    [
      "an iteration to its end",
      async ({ runner }) => {
        for await (const _ of runner as unknown as AsyncIterable<number>);
      },
    ],
    ["a page", ({ ask }) => ask("offset=0")],
    [
      "a page that is known already",
      async ({ ask }) => {
        const { headers } = await ask("offset=0", { method: "GET" });
        return ask("offset=0", { headers: { "if-none-match": String(headers.ETag) } });
      },
    ],
    ["a long-poll", ({ ask }) => ask("offset=1&live=long-poll")],
    [
      "a long-poll from now that has brought the last item",
      async ({ ask, source }) => {
        const poll = ask("offset=now&live=long-poll");
        await turns();
        source.push(2);
        source.end();
        await poll;
      },
    ],
    ["an acknowledgement", ({ ask }) => ask("offset=1&closed=true", { method: "POST", action: "ack" })],
    [
      "a browser's reconnect behind the end",
      ({ ask }) => ask("", { action: "events", headers: { "last-event-id": "0000000000000001.end" } }),
    ],
    ["its removal", ({ runner }) => runner[Symbol.asyncDispose]()],
    ["the end of the session", ({ session }) => session.terminate()],
    ["the end of the host", ({ host }) => host.close()],
  ])("is not called after %s", async (_, see) => {
    const parts = await open();
    parts.source.push(1);
    if (!/^a long-poll from now/.test(_)) parts.source.end();
    await pass(1000);
    if (_ === "an acknowledgement") await readOverSse(parts);
    await see(parts);
    await pass(60_000);
    expect(parts.onUnseen).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBeLessThanOrEqual(3);
  });

  test.each<[string, (parts: Awaited<ReturnType<typeof open>>) => unknown]>([
    ["HEAD", ({ ask }) => ask("", { method: "HEAD" })],
    ["the state", ({ ask }) => ask("", { action: "state" })],
    ["a page from the tail", ({ ask }) => ask("offset=now")],
    ["a page that does not reach the end", ({ ask }) => ask("offset=0&max-items=1")],
    ["an event stream that was only written", readOverSse],
    [
      "a stranger's word that it has seen the end",
      ({ ask }) => ask("", { action: "events", headers: { "last-event-id": "9999" } }),
    ],
  ])("is called in spite of %s", async (_, ask) => {
    const parts = await open();
    parts.source.push(1, 2);
    parts.source.end();
    await pass(1000);
    await ask(parts);
    await pass(60_000);
    expect(parts.onUnseen).toHaveBeenCalledTimes(1);
  });

  test.each<[string, (runner: Runner) => unknown]>([
    ["stopped", (runner) => runner.abort()],
    ["idle", () => pass(120_000)],
  ])("is not called for work that was aborted (%s)", async (_, abort) => {
    const { onUnseen, runner } = await open();
    await abort(runner);
    await pass(60_000);
    expect([runner.phase, onUnseen.mock.calls.length]).toEqual(["aborted", 0]);
  });

  test("a browser's word that it was told the end counts only for work that has ended", async () => {
    const { host, ask, source, onUnseen } = await open();
    await ask("", { action: "events", headers: { "last-event-id": "0000000000000001.end" } });
    expect(host.stats()).toMatchObject({ running: 1, unseen: 0 });
    source.end();
    await turns();
    expect(host.stats()).toMatchObject({ running: 0, unseen: 1 });
    await pass(30_000);
    expect(onUnseen).toHaveBeenCalledTimes(1);
  });

  test.each([
    [
      "throws",
      () => {
        throw new Error("no mail");
      },
    ],
    ["rejects", () => Promise.reject(new Error("no mail"))],
  ])("that %s is a warning", async (_, onUnseen) => {
    const { warn, source } = await open({ onUnseen });
    source.end();
    await pass(30_000);
    expect(warn).toHaveBeenCalledWith(
      expect.objectContaining({ error: expect.objectContaining({ message: "no mail" }) }),
      expect.stringContaining("onUnseen of a definition failed"),
    );
  });

  test.each([
    ["onUnseen", { onUnseen: "mail" }],
    ["unseenAfter", { unseenAfter: 0 }],
  ])("a bad %s is refused", (name, parts) => {
    expect(() => defineSequenceRunner({ name: "w", run: () => [], ...parts } as never)).toThrow(
      expect.objectContaining({ code: "INVALID_OPTION", message: expect.stringContaining(name) }),
    );
  });
});

/** Reads to the end on an event stream, whose client may be away. */
async function readOverSse({ ask }: Awaited<ReturnType<typeof open>>): Promise<void> {
  const { body } = await ask("offset=0&live=sse");
  for await (const _part of body as AsyncIterable<string>);
}
