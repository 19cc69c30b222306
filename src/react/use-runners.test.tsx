// @vitest-environment happy-dom
/** The list of runners: when it is looked at, which answer counts, and that a hidden page does not ask. */
import { act, cleanup, render } from "@testing-library/react";
import { StrictMode } from "react";
import { describe, expect, test, vi } from "vitest";
import { openPage } from "../../test/support/page.js";
import { openRunnerServer } from "../../test/support/runner-server.js";
import { createRunnerHooks, type RunnersHandle } from "./hooks.js";

const page = openPage(cleanup);

function open(first: number | undefined | ((view: RunnersHandle | undefined) => number) = undefined) {
  const server = openRunnerServer();
  const { useRunners } = createRunnerHooks(server.client);
  const seen: RunnersHandle[] = [];
  function List({ interval }: { readonly interval: typeof first }) {
    const chosen = typeof interval === "function" ? interval(seen.at(-1)) : interval;
    seen.push(useRunners({ interval: chosen }));
    return null;
  }
  const { rerender, unmount } = render(<List interval={first} />, { wrapper: StrictMode });
  const settle = () => act(() => page.settle());
  return {
    ...{ server, seen, unmount, settle },
    get now() {
      return seen.at(-1)!;
    },
    /** The keys that are shown. */
    get keys() {
      return seen.at(-1)!.runners?.map(({ key }) => key);
    },
    async answer(...keys: string[]) {
      await settle();
      server.all.at(-1)!.respond(list(...keys));
      await settle();
    },
    async pass(ms: number) {
      await act(() => vi.advanceTimersByTimeAsync(ms));
      await settle();
    },
    async change(interval: number) {
      rerender(<List interval={interval} />);
      await settle();
    },
    async do(action: () => void) {
      act(action);
      await settle();
    },
  };
}

const list = (...keys: string[]) =>
  keys.map((key) => ({ key, kind: "sequence", status: "progressed", position: 0, progress: { current: 0 } }));

describe("the list", () => {
  test("is unknown at first, then shown, and looked at again when the interval is over, counted from the answer", async () => {
    const it = open(1000);
    expect(it.keys).toBeUndefined();
    await it.pass(10_000);
    expect(it.server.asked).toEqual(["GET "]);
    await it.answer("1");
    expect(it.keys).toEqual(["1"]);
    await it.pass(999);
    expect(it.server.asked).toHaveLength(1);
    await it.pass(1);
    expect(it.server.asked).toHaveLength(2);
    await it.answer("1", "2");
    expect(it.keys).toEqual(["1", "2"]);
  });

  test("which is the same again changes nothing", async () => {
    const it = open(1000);
    await it.answer("1");
    const { now, seen } = it;
    const renders = seen.length;
    await it.pass(1000);
    await it.answer("1");
    expect([it.now, it.seen.length]).toEqual([now, renders]);
    expect(it.now).toBe(now);
    await it.pass(1000);
    await it.answer("2");
    expect(it.now).not.toBe(now);
    expect(it.now.refresh).toBe(now.refresh);
  });

  test.each([Number.POSITIVE_INFINITY, 2 ** 31, 1e12])(
    "is not looked at again too early: interval %d",
    async (interval) => {
      const it = open(interval);
      await it.answer("1");
      await it.pass(100_000);
      expect(it.server.asked).toHaveLength(1);
      await it.do(() => void it.now.refresh());
      expect(it.server.asked).toHaveLength(2);
    },
  );

  test("stays when the interval is another, which holds from now on", async () => {
    const it = open(5000);
    await it.answer("1");
    await it.change(1000);
    expect([it.keys, it.server.asked.length]).toEqual([["1"], 1]);
    await it.pass(1000);
    expect(it.server.asked).toHaveLength(2);
    await it.answer("1", "2");
    await it.change(Number.POSITIVE_INFINITY);
    await it.pass(10_000);
    expect(it.server.asked).toHaveLength(2);
    await it.change(1000);
    await it.pass(1000);
    expect(it.server.asked).toHaveLength(3);
    await it.answer();
    expect(it.keys).toEqual([]);
  });

  test("may be looked at in an interval that depends on it", async () => {
    const it = open((view) => (view?.runners ? 1000 : 100));
    await it.answer("1");
    expect(it.keys).toEqual(["1"]);
    await it.pass(999);
    expect(it.server.asked).toHaveLength(1);
    await it.pass(1);
    expect(it.server.asked).toHaveLength(2);
  });
});

describe("looking now", () => {
  test("resolves when the answer is shown, and restarts the interval", async () => {
    const it = open(1000);
    await it.answer("1");
    await it.pass(900);
    let isShown = false;
    await it.do(() => void it.now.refresh().then(() => (isShown = true)));
    await it.pass(900);
    expect([isShown, it.server.asked.length]).toEqual([false, 2]);
    await it.answer("2");
    expect([isShown, it.keys]).toEqual([true, ["2"]]);
    await it.pass(999);
    expect(it.server.asked).toHaveLength(2);
    await it.pass(1);
    expect(it.server.asked).toHaveLength(3);
  });

  test("many times at once shows the answer to the last question, in whatever order they come", async () => {
    const it = open();
    await it.settle();
    await it.do(() => {
      void it.now.refresh();
      void it.now.refresh();
    });
    const [first, second, third] = it.server.all;
    third!.respond(list("third"));
    await it.settle();
    first!.respond(list("first"));
    second!.refuse(503, "CLIENT_LIMIT_REACHED");
    await it.settle();
    expect(it.keys).toEqual(["third"]);
    expect(it.now.error).toBeUndefined();
    expect(it.seen.flatMap(({ runners }) => runners ?? []).map(({ key }) => key)).not.toContain("first");
  });

  test("does nothing when the component has gone", async () => {
    const it = open();
    await it.answer("1");
    it.unmount();
    await it.pass(0);
    await it.do(() => void it.now.refresh());
    expect(it.server.asked).toHaveLength(1);
  });
});

describe("an error", () => {
  test("is shown beside the last list, tried again in time, and gone with the next answer", async () => {
    const it = open(1000);
    await it.answer("1");
    await it.pass(1000);
    it.server.all.at(-1)!.fail();
    await it.settle();
    expect([it.keys, it.now.error?.code]).toEqual([["1"], "SERVER_UNAVAILABLE"]);
    await it.pass(1000);
    await it.answer("1");
    expect([it.keys, it.now.error]).toEqual([["1"], undefined]);
  });

  test("at the first look leaves the list unknown", async () => {
    const it = open(1000);
    await it.settle();
    it.server.all[0]!.respond("<html>", 200);
    await it.settle();
    expect([it.keys, it.now.error?.code]).toEqual([undefined, "UNEXPECTED_RESPONSE"]);
  });
});

describe("a page", () => {
  test("that is hidden asks for nothing, and looks at once when it is shown again", async () => {
    const it = open(1000);
    await it.answer("1");
    await it.do(() => page.hide(true));
    await it.pass(100_000);
    expect(it.server.asked).toHaveLength(1);
    await it.do(() => page.hide(false));
    expect(it.server.asked).toHaveLength(2);
    await it.answer("2");
    expect(it.keys).toEqual(["2"]);
    await it.pass(1000);
    expect(it.server.asked).toHaveLength(3);
  });

  test("that is hidden before the answer shows that, and asks no more", async () => {
    const it = open(1000);
    await it.settle();
    await it.do(() => page.hide(true));
    await it.answer("1");
    expect(it.keys).toEqual(["1"]);
    await it.change(2000);
    await it.pass(100_000);
    expect(it.server.asked).toHaveLength(1);
  });

  test("whose network is back looks at once", async () => {
    const it = open(100_000);
    await it.answer("1");
    await it.do(() => void globalThis.dispatchEvent(new Event("online")));
    expect(it.server.asked).toHaveLength(2);
  });

  test("without the component listens no more and shows no late answer", async () => {
    const it = open(1000);
    await it.settle();
    it.unmount();
    await it.pass(0);
    const renders = it.seen.length;
    await it.answer("1");
    await it.do(() => page.hide(false));
    await it.pass(10_000);
    expect([it.seen.length, it.server.asked.length, page.listeners]).toEqual([renders, 1, 0]);
  });
});
