// @vitest-environment happy-dom
/** What the life of a component does to its runner: coming, going, coming back, and changing its mind at the worst moment. */
import { act, cleanup, render } from "@testing-library/react";
import { Activity, StrictMode } from "react";
import { afterEach, describe, expect, test, vi } from "vitest";
import { openPage } from "../../test/support/page.js";
import { abortedBecause, completed, firstPage, openRunnerServer, piece } from "../../test/support/runner-server.js";
import { createDeferred } from "../base/async.js";
import type { RunnerClient } from "../client/client.js";
import type { RunnerFollower } from "../client/follower.js";
import { createRunnerHooks, type RunnerHandle, type UseRunnerOptions } from "./hooks.js";
import type { Target } from "./runner-view.js";

const page = openPage(cleanup);

/** One component that uses `target`; `seen` is what it has rendered, every time. */
function open(first: Target, options: UseRunnerOptions = {}, client?: Partial<RunnerClient>) {
  const server = openRunnerServer();
  const { useRunner } = createRunnerHooks((client ?? server.client) as RunnerClient);
  const seen: RunnerHandle<unknown, unknown>[] = [];
  interface Props {
    readonly target: Target;
    readonly options: UseRunnerOptions;
    readonly isVisible: boolean;
  }
  function One({ target, options }: Omit<Props, "isVisible">) {
    const runner = useRunner(("key" in target ? target.key : target) as string, options);
    seen.push(runner as RunnerHandle<unknown, unknown>);
    return null;
  }
  const all = (props: Props) => (
    <StrictMode>
      <Activity mode={props.isVisible ? "visible" : "hidden"}>
        <One target={props.target} options={props.options} />
      </Activity>
    </StrictMode>
  );
  let props: Props = { target: first, options, isVisible: true };
  const { rerender, unmount } = render(all(props));
  const settle = () => act(() => page.settle());
  return {
    ...{ server, seen, settle, unmount },
    get now() {
      return seen.at(-1)!;
    },
    async change(changes: Partial<Props>) {
      props = { ...props, ...changes };
      rerender(all(props));
      await act(() => vi.advanceTimersByTimeAsync(0)); // after unmounting, the store falls asleep a turn later
      await settle();
    },
    /** Lets what was asked for last, and begins so, be answered. */
    async answer(what: string, body: object, status = 201, headers: Record<string, string> = {}) {
      await settle();
      server.find(what).respond(body, status, headers);
      await settle();
    },
    async send(...pieces: string[]) {
      await settle();
      server.find("GET /").send(...pieces);
      await settle();
    },
    async do(action: () => void) {
      act(action);
      await settle();
    },
  };
}

const search = (word: string) => ({ create: "search", input: { word } }) as const;
const manual = { create: "search", start: "manual" } as const;

describe("a runner that is known by its label", () => {
  const byLabel = { label: "chat 7" } as const;
  const list = "GET ?label=chat+7&limit=1";
  const found = [{ key: "7-1-x", kind: "sequence", status: "stalled", position: 0, progress: { current: 0 } }];

  test("is found, and followed under its key", async () => {
    const it = open(byLabel);
    expect(it.now).toMatchObject({ phase: "starting", key: undefined });
    await it.answer(list, found);
    await it.send(piece(["a"], 1));
    expect(it.now).toMatchObject({ items: ["a"], phase: "running", key: "7-1-x" });
    await it.do(() => it.now.stop());
    expect(it.server.asked.at(-1)).toBe("POST /7-1-x/abort");
  });

  test("shows nothing if there is none, and no error; start looks again", async () => {
    const it = open(byLabel);
    await it.answer(list, []);
    expect(it.now).toMatchObject({ items: [], phase: undefined, error: undefined, isRunning: false, key: undefined });
    await it.do(() => it.now.start());
    expect(it.now).toMatchObject({ phase: "starting", isRunning: true });
    await it.answer(list, found);
    await it.send(piece(["a"], 1));
    expect(it.now).toMatchObject({ items: ["a"], key: "7-1-x" });
  });

  test("is stopped as soon as it is found, if that was asked for before", async () => {
    const it = open(byLabel);
    await it.do(() => it.now.stop());
    await it.answer(list, found);
    await it.send(piece(["a"], 1));
    expect(it.server.asked.at(-1)).toBe("POST /7-1-x/abort");
  });

  test("is not stopped by a stop that found none", async () => {
    const it = open(byLabel);
    await it.do(() => it.now.stop());
    await it.answer(list, []);
    await it.do(() => it.now.start());
    await it.answer(list, found);
    await it.send(piece(["a"], 1));
    expect(it.now).toMatchObject({ items: ["a"], isRunning: true });
    expect(it.server.asked.filter((what) => what.startsWith("POST"))).toEqual([]);
  });

  test("is none with an empty label", async () => {
    const it = open({ label: "" });
    await it.settle();
    expect([it.server.asked, it.now.isRunning]).toEqual([[], false]);
  });

  test("is created with the label, of which another one is another runner", async () => {
    const it = open({ create: "search", input: {}, label: "chat 7" });
    await it.answer("POST /search", firstPage(["a"]));
    expect(it.server.find("POST /search").headers.get("Runner-Label")).toBe("chat%207");
    await it.change({ target: { create: "search", input: {}, label: "chat 8" } });
    expect(it.server.find("POST /search").headers.get("Runner-Label")).toBe("chat%208");
    await it.answer("POST /search", firstPage(["b"]));
    expect(it.now.items).toEqual(["b"]);
  });

  test("is another one with another label", async () => {
    const it = open(byLabel);
    await it.answer(list, found);
    await it.send(piece(["a"], 1));
    await it.change({ target: { label: "chat 8" } });
    expect(it.now).toMatchObject({ items: [], phase: "starting" });
    expect(it.server.asked.at(-1)).toBe("GET ?label=chat+8&limit=1");
  });
});

describe("a component that goes", () => {
  test("and comes back in the same place starts again, and shows nothing of before", async () => {
    const it = open(search("a"), { onUnmount: "stop" });
    await it.answer("POST /search", firstPage(["old"]));
    await it.send(piece(["older"], 2));
    await it.change({ isVisible: false });
    expect(it.server.asked.at(-1)).toBe("POST /0-1-x/abort");
    const before = it.seen.length;
    await it.change({ isVisible: true });
    expect(it.seen.slice(before).flatMap(({ items }) => items)).toEqual([]);
    expect(it.server.asked.filter((what) => what === "POST /search")).toHaveLength(2);
    await it.answer("POST /search", firstPage(["new"]));
    expect(it.now).toMatchObject({ items: ["new"], isRunning: true });
  });

  test("while its runner by hand works is idle when it comes back", async () => {
    const it = open(manual, { onUnmount: "stop" });
    await it.do(() => it.now.start({ word: "a" }));
    await it.answer("POST /search", firstPage(["old"]));
    await it.change({ isVisible: false });
    await it.change({ isVisible: true });
    expect(it.now).toMatchObject({ isRunning: false, items: [], key: undefined });
  });

  test("leaving its runner goes on with it when it comes back, from where it was", async () => {
    const it = open(search("a"), { onUnmount: "leave" });
    await it.answer("POST /search", firstPage(["a"]));
    await it.send(piece(["b"], 2));
    await it.change({ isVisible: false });
    expect(it.server.find("GET /").signal?.aborted).toBe(true);
    await it.change({ isVisible: true });
    expect(it.server.find("GET /").what).toContain("offset=2&");
    await it.send(piece(["c"], 3, completed));
    expect(it.now.items).toEqual(["a", "b", "c"]);
    expect(it.server.asked.filter((what) => what.startsWith("POST"))).toEqual(["POST /search"]);
  });

  test("before the answer, leaving its runner, finds it when it comes back", async () => {
    const it = open(search("a"), { onUnmount: "leave" });
    await it.change({ isVisible: false });
    await it.answer("POST /search", firstPage(["a"]));
    expect(it.server.asked).toEqual(["POST /search"]);
    await it.change({ isVisible: true });
    await it.send(piece(["b"], 2, completed));
    expect(it.now).toMatchObject({ items: ["a", "b"], status: "completed", key: "0-1-x" });
  });

  test("with a followed runner's items not yet shown leaves no timer, and shows them when it comes back", async () => {
    const it = open({ key: "1" });
    await it.send(piece(["a"], 1));
    it.server.find("GET /").send(piece(["b"], 2));
    await act(() => vi.advanceTimersByTimeAsync(0)); // arrived, but no frame has come
    expect([it.now.items, page.waiting]).toEqual([["a"], 1]);
    await it.change({ isVisible: false });
    expect([vi.getTimerCount(), page.waiting]).toEqual([0, 0]);
    await it.change({ isVisible: true });
    expect(it.now.items).toEqual(["a", "b"]);
    expect(it.server.find("GET /").what).toContain("offset=2&");
  });

  test("for good, with items not yet shown, leaves no timer", async () => {
    const it = open({ key: "1" });
    await it.send(piece(["a"], 1));
    it.server.find("GET /").send(piece(["b"], 2));
    await act(() => vi.advanceTimersByTimeAsync(0));
    it.unmount();
    await act(() => vi.advanceTimersByTimeAsync(0));
    expect([vi.getTimerCount(), page.waiting]).toEqual([0, 0]);
    expect(it.now.items).toEqual(["a"]);
  });

  test("over and over, faster than the connection ends, follows once", async () => {
    const it = open({ key: "1" });
    await it.send(piece(["a"], 1));
    for (const isVisible of [false, true, false, true, false, true]) await it.change({ isVisible });
    expect(it.server.asked.filter((what) => what.startsWith("GET"))).toHaveLength(4);
    const open4 = it.server.all.filter(({ signal }) => !signal?.aborted);
    expect(open4).toHaveLength(1);
    await it.send(piece(["b"], 2, completed));
    expect(it.now).toMatchObject({ items: ["a", "b"], status: "completed", error: undefined });
    expect(it.server.asked).toHaveLength(4);
  });

  test("over and over, while the first connection takes its time to end, follows once more, to the end", async () => {
    const ends = [createDeferred(), createDeferred(), createDeferred()];
    let loops = 0;
    const follower = {
      key: "1",
      close: () => {},
      async *updates() {
        await ends[loops++]!.promise;
        const isLast = loops === 2;
        const status = isLast ? "completed" : "progressed";
        yield { items: [loops], position: loops, progress: { current: loops }, status, closed: isLast };
      },
    };
    const it = open({ key: "1" }, {}, { follow: () => follower as unknown as RunnerFollower<never> });
    for (const isVisible of [false, true, false, true]) await it.change({ isVisible });
    expect(loops).toBe(1);
    ends[0]!.resolve();
    await it.settle();
    expect(loops).toBe(2);
    ends[1]!.resolve();
    await it.settle();
    expect([loops, it.now.items, it.now.status]).toEqual([2, [1, 2], "completed"]);
  });

  test("and then starts by hand, too late, starts nothing", async () => {
    const it = open(manual);
    await it.settle();
    it.unmount();
    await act(() => vi.advanceTimersByTimeAsync(0));
    it.now.start({ word: "a" });
    await it.settle();
    expect(it.server.asked).toEqual([]);
  });

  test("can stop afterwards what it has left", async () => {
    const it = open(search("a"), { onUnmount: "leave" });
    await it.answer("POST /search", firstPage(["a"]));
    it.unmount();
    await act(() => vi.advanceTimersByTimeAsync(0));
    it.now.stop();
    expect(it.server.asked.at(-1)).toBe("POST /0-1-x/abort");
  });

  test("is not told of anything any more, whatever comes then", async () => {
    const it = open(search("a"));
    await it.answer("POST /search", firstPage(["a"]));
    await it.send(piece(["b"], 2));
    const following = it.server.find("GET /");
    const before = it.seen.length;
    it.unmount();
    following.send(piece(["c"], 3, completed));
    await act(() => vi.advanceTimersByTimeAsync(1000));
    await it.settle();
    expect(it.seen).toHaveLength(before);
    expect(following.signal?.aborted).toBe(true);
  });

  test("at the moment of the answer stops the runner that has just been made", async () => {
    const it = open(search("a"), { onUnmount: "stop" });
    await it.settle();
    it.unmount();
    it.server.find("POST /search").respond(firstPage(["a"]), 201);
    await act(() => vi.advanceTimersByTimeAsync(0));
    await it.settle();
    expect(it.server.asked.filter((what) => what.includes("abort"))).toHaveLength(1);
  });
});

describe("another target", () => {
  test("of the same name and another input stops the creation before, whose late answer is not shown", async () => {
    const it = open(search("a"));
    await it.settle();
    const late = it.server.find("POST /search");
    await it.change({ target: search("b") });
    expect(it.server.find("POST /search/abort").idempotencyKey).toBe(late.idempotencyKey);
    expect(late.signal?.aborted).toBe(true);
    late.respond(firstPage(["late"]), 201);
    await it.answer("POST /search", firstPage(["b"], { closed: true, status: "completed" }));
    expect(it.seen.flatMap(({ items }) => items)).not.toContain("late");
    expect(it.now.items).toEqual(["b"]);
  });

  test("shows nothing of the one before, not in a single render", async () => {
    const it = open(search("a"));
    await it.answer("POST /search", firstPage(["a"]));
    await it.send(piece(["a2"], 2));
    const before = it.seen.length;
    await it.change({ target: search("b") });
    expect(it.seen.slice(before).every(({ items, key, status }) => items.length === 0 && !key && !status)).toBe(true);
  });

  test("which is no other, only a new object, changes nothing", async () => {
    const it = open(search("a"));
    await it.answer("POST /search", firstPage(["a"]));
    await it.send(piece([], 1));
    const asked = it.server.asked.length;
    const { start, stop } = it.now;
    await it.change({ target: search("a") });
    expect(it.server.asked).toHaveLength(asked);
    expect([it.now.start, it.now.stop]).toEqual([start, stop]);
  });

  test("from a key to a creation and back follows, creates and stops what it should", async () => {
    const it = open({ key: "1" });
    await it.send(piece(["followed"], 1));
    await it.change({ target: search("a") });
    expect(it.server.find("GET /1").signal?.aborted).toBe(true);
    await it.answer("POST /search", firstPage(["created"]));
    await it.change({ target: { key: "1" } });
    expect(it.server.asked.filter((what) => what.includes("abort"))).toEqual(["POST /0-1-x/abort"]);
    await it.send(piece(["followed"], 1, completed));
    expect(it.now.items).toEqual(["followed"]);
  });

  test("and then none, holds nothing", async () => {
    const it = open({ key: "1" });
    await it.send(piece(["a"], 1));
    await it.change({ target: { key: null } });
    expect(it.server.find("GET /1").signal?.aborted).toBe(true);
    expect(it.now).toMatchObject({ items: [], isRunning: false, key: undefined });
  });
});

test.each([null, undefined, ""])("the key %j asks for nothing", async (key) => {
  const it = open({ key });
  await it.settle();
  await it.do(() => it.now.stop());
  await it.do(() => it.now.start());
  expect(it.server.asked).toEqual([]);
  expect(it.now).toMatchObject({ isRunning: false, items: [], error: undefined, status: undefined });
});

describe("following", () => {
  test.each([
    [7, "offset=7&"],
    ["now", "offset=now&"],
    [undefined, "offset=-1&"],
  ] as const)("begins at the offset %s", async (offset, asked) => {
    const it = open({ key: "1" }, { offset });
    await it.settle();
    expect(it.server.asked).toHaveLength(1);
    expect(it.server.asked[0]).toContain(asked);
    await it.send(piece(["a"], 8, completed));
    expect(it.now).toMatchObject({ items: ["a"], latest: "a", status: "completed", key: "1" });
  });

  test("by long-polls asks for the next when one has been answered", async () => {
    const it = open({ key: "1" }, { live: "long-poll" });
    await it.settle();
    const headers = { "stream-next-offset": "2", "runner-status": "progressed", "runner-progress": "2" };
    it.server.find("GET /").respond(["a", "b"], 200, headers);
    await it.settle();
    expect(it.now.items).toEqual(["a", "b"]);
    expect(it.server.asked.at(-1)).toContain("offset=2&live=long-poll");
  });

  test("goes on behind a failure of the network, and says nothing of it", async () => {
    const it = open({ key: "1" });
    await it.send(piece(["a"], 1));
    it.server.find("GET /").fail();
    await it.settle();
    expect(it.now).toMatchObject({ items: ["a"], isRunning: true, error: undefined });
    await act(() => vi.advanceTimersByTimeAsync(10_000));
    expect(it.server.asked.at(-1)).toContain("offset=1&");
    await it.send(piece(["b"], 2, completed));
    expect(it.now.items).toEqual(["a", "b"]);
  });

  test("goes when the component does, between two connections too", async () => {
    const it = open({ key: "1" });
    await it.settle();
    it.server.find("GET /").fail();
    await it.settle();
    it.unmount();
    await act(() => vi.advanceTimersByTimeAsync(0));
    expect([vi.getTimerCount(), page.listeners]).toEqual([0, 0]);
  });

  test("stops the work when it is told to, and keeps what has arrived", async () => {
    const it = open({ key: "1" });
    await it.send(piece(["a"], 1));
    await it.do(() => it.now.stop());
    expect(it.server.asked.at(-1)).toBe("POST /1/abort");
    it.server.find("POST /1/abort").fail(); // it does not matter whether that is answered
    await it.send(piece([], 1, abortedBecause("stopped")));
    expect(it.now).toMatchObject({ items: ["a"], status: "aborted", abortReason: "stopped", isRunning: false });
    await it.do(() => it.now.stop());
    expect(it.server.asked.filter((what) => what.includes("abort"))).toHaveLength(1);
  });

  test("tells of its places and its connection to the callbacks of the latest render", async () => {
    const told: string[] = [];
    const options = (name: string): UseRunnerOptions => ({
      onPlace: ({ offset }) => told.push(`${name} place ${offset}`),
      onConnection: (state) => told.push(`${name} ${state}`),
    });
    const it = open({ key: "1" }, options("first"));
    await it.send(piece(["a"], 1));
    expect(new Set(told)).toEqual(new Set(["first connecting", "first place 0", "first open", "first place 1"]));
    told.length = 0;
    await it.change({ options: options("second") });
    await it.send(piece(["b"], 2), piece([], 2));
    expect(told).toContain("second place 2");
    expect(told.filter((what) => what.startsWith("first"))).toEqual([]);
  });
});

describe("what is kept", () => {
  test.each([
    [undefined, ["a", "b", "c"], "c"],
    [2, ["b", "c"], "c"],
    [0, [], undefined],
  ])("keep %s", async (keep, items, latest) => {
    const it = open({ key: "1" }, { keep });
    await it.send(piece(["a", "b"], 2), piece(["c"], 3));
    expect([it.now.items, it.now.latest]).toEqual([items, latest]);
  });

  test("may become more or less while the runner works, which goes on", async () => {
    const it = open(search("a"), { keep: 1 });
    await it.answer("POST /search", firstPage(["a", "b"]));
    await it.send(piece([], 2));
    const asked = it.server.asked.length;
    await it.change({ options: { keep: 3 } });
    await it.send(piece(["c", "d"], 4));
    expect(it.now.items).toEqual(["b", "c", "d"]);
    await it.change({ options: { keep: 2 } });
    await it.send(piece(["e"], 5));
    expect(it.now.items).toEqual(["d", "e"]);
    expect(it.server.asked).toHaveLength(asked);
  });
});

describe("starting by hand", () => {
  test("uses the component's input where it is given none, the newest one", async () => {
    const it = open({ ...manual, input: { word: "a" } }, { onUnmount: "stop" });
    await it.change({ target: { ...manual, input: { word: "b" } } });
    expect(it.server.asked).toEqual([]);
    await it.do(() => it.now.start());
    expect(it.server.find("POST /search").body).toEqual({ word: "b" });
    await it.do(() => it.now.start({ word: "c" }));
    expect(it.server.find("POST /search").body).toEqual({ word: "c" });
  });

  test("three times in a row shows only the third, in whatever order they are answered", async () => {
    const it = open(manual);
    await it.do(() => {
      for (const word of ["a", "b", "c"]) it.now.start({ word });
    });
    const creations = it.server.all.filter(({ what }) => what === "POST /search");
    // The second one has waited for the answer to the first, and was never sent.
    expect(creations.map(({ signal }) => signal?.aborted)).toEqual([true, false]);
    expect(it.server.asked.filter((what) => what === "POST /search/abort")).toHaveLength(1);
    creations[1]!.respond(firstPage(["c"], {}, "3"), 201);
    creations[0]!.respond(firstPage(["a"], {}, "1"), 201);
    await it.settle();
    expect(it.now).toMatchObject({ items: ["c"], key: "3" });
    expect(it.seen.flatMap(({ items }) => items)).not.toContain("a");
  });

  test("again while the one before runs shows nothing of that, what has arrived but is not shown included", async () => {
    const it = open(manual);
    await it.do(() => it.now.start({ word: "a" }));
    await it.answer("POST /search", firstPage(["a"], {}, "1"));
    const first = it.server.find("GET /1");
    first.send(piece(["unseen"], 2));
    await act(() => vi.advanceTimersByTimeAsync(0));
    await it.do(() => it.now.start({ word: "b" }));
    first.send(piece(["late"], 3));
    expect(it.server.asked).toContain("POST /1/abort");
    expect(first.signal?.aborted).toBe(true);
    await it.answer("POST /search", firstPage(["b"], {}, "2"));
    expect(it.now).toMatchObject({ items: ["b"], key: "2" });
    expect(it.seen.flatMap(({ items }) => items)).not.toContain("unseen");
  });

  test("again after an error forgets the error at once", async () => {
    const it = open(manual, { onUnmount: "stop" });
    await it.do(() => it.now.start({ word: 1 }));
    it.server.find("POST /search").refuse(422, "INVALID_INPUT");
    await it.settle();
    expect(it.now).toMatchObject({ error: { code: "INVALID_INPUT" }, isRunning: false });
    await it.do(() => it.now.start({ word: "a" }));
    expect(it.now).toMatchObject({ error: undefined, isRunning: true });
  });

  test("before the answer, twice stopped, aborts once by the creation's key", async () => {
    const it = open(manual);
    await it.do(() => it.now.start({ word: "a" }));
    await it.do(() => {
      it.now.stop();
      it.now.stop();
    });
    const [creation, abort, ...more] = it.server.all;
    expect([abort?.what, abort?.idempotencyKey]).toEqual(["POST /search/abort", creation?.idempotencyKey]);
    expect(more).toEqual([]);
    expect(it.now).toMatchObject({ isRunning: false, abortReason: "stopped", error: undefined, status: undefined });
  });

  test("and stopping when the answer is there but not taken yet stops the runner, and says so", async () => {
    const answer = createDeferred<RunnerFollower<unknown>>();
    const aborted: string[] = [];
    const client = {
      create: () => answer.promise,
      abort: async (key: string) => void aborted.push(key),
    } as unknown as Partial<RunnerClient>;
    const it = open(manual, {}, client);
    await it.do(() => it.now.start({ word: "a" }));
    const follower = { key: "1", close: () => {}, updates: async function* () {} };
    await it.do(() => {
      answer.resolve(follower as unknown as RunnerFollower<unknown>);
      it.now.stop();
    });
    expect(aborted).toEqual(["1"]);
    expect(it.now).toMatchObject({ isRunning: false, abortReason: "stopped", error: undefined });
  });
});

describe("what goes wrong", () => {
  test("a refused input is the error, with what the validator found", async () => {
    const it = open(search("a"));
    await it.settle();
    const body = { code: "INVALID_INPUT", message: "no word", issues: [{ message: "no word", path: ["word"] }] };
    it.server.find("POST /search").respond(body, 422, { "Runner-Error-Code": "INVALID_INPUT" });
    await it.settle();
    expect(it.now).toMatchObject({ isRunning: false, status: undefined, key: undefined });
    expect(it.now.error).toMatchObject({ code: "INVALID_INPUT", issues: body.issues });
  });

  test("a creation that never gets through is tried again, then the error", async () => {
    const it = open(search("a"));
    for (let attempt = 0; attempt < 6; attempt++) {
      await it.settle();
      it.server.find("POST /search").fail();
      await it.settle();
      await act(() => vi.advanceTimersByTimeAsync(10_000));
    }
    await it.settle();
    expect(it.server.asked).toHaveLength(6);
    expect(new Set(it.server.all.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(1);
    expect(it.now).toMatchObject({ isRunning: false, error: { code: "SERVER_UNAVAILABLE" } });
  });

  test("a component that goes between two tries tries no more", async () => {
    const it = open(search("a"), { onUnmount: "stop" });
    await it.settle();
    it.server.find("POST /search").fail();
    await it.settle();
    it.unmount();
    await act(() => vi.advanceTimersByTimeAsync(10_000));
    expect(it.server.asked).toEqual(["POST /search", "POST /search/abort"]);
  });

  test("a runner that is gone in the middle leaves what has arrived", async () => {
    const it = open({ key: "1" });
    await it.send(piece(["a"], 1));
    it.server.find("GET /").fail();
    await it.settle();
    await act(() => vi.advanceTimersByTimeAsync(10_000));
    await it.answer("GET /", {}, 410, { "Runner-Error-Code": "RUNNER_GONE" });
    await act(() => vi.advanceTimersByTimeAsync(2000));
    await it.answer("GET /", {}, 410, { "Runner-Error-Code": "RUNNER_GONE" });
    expect(it.now).toMatchObject({ items: ["a"], isRunning: false, status: "progressed" });
    expect(it.now.error?.code).toBe("RUNNER_GONE");
  });

  test("a failure comes behind all items, those not shown yet included", async () => {
    const it = open({ key: "1" });
    const failed = { runnerStatus: "failed", streamClosed: true, runnerErrorMessage: "The disk is full" };
    await it.send(piece(["a"], 1), piece(["b", "c"], 3), piece([], 3, failed));
    expect(it.now).toMatchObject({ items: ["a", "b", "c"], status: "failed", isRunning: false });
    expect(it.now.error).toMatchObject({ code: "RUNNER_FAILED", message: "The disk is full" });
  });

  test.each(["stopped", "idle", "lifetime", "session-ended", "shutdown", "signal"])("an abort: %s", async (reason) => {
    const it = open(search("a"));
    await it.answer("POST /search", firstPage(["a"]));
    await it.send(piece([], 1, abortedBecause(reason)));
    expect(it.now).toMatchObject({ items: ["a"], status: "aborted", abortReason: reason, error: undefined });
  });

  test("an end that came with the creation is taken, and the runner removed", async () => {
    const it = open(search("a"));
    await it.answer("POST /search", firstPage(["a"], { closed: true, status: "completed" }));
    expect(it.now).toMatchObject({ items: ["a"], status: "completed", isRunning: false });
    expect(it.server.asked).toEqual(["POST /search", "DELETE /0-1-x"]);
    it.server.find("DELETE").fail(); // which is not reported
    await it.settle();
  });

  test("a callback of the application that throws is the error, and ends the connection", async () => {
    const problem = new Error("the storage is full");
    const it = open(
      { key: "1" },
      {
        onPlace: ({ offset }) => {
          if (offset > 0) throw problem;
        },
      },
    );
    await it.send(piece(["a"], 1), piece(["b"], 2));
    expect(it.now).toMatchObject({ isRunning: false, error: problem });
    expect(it.server.find("GET /").signal?.aborted).toBe(true);
  });
});

describe("what a component is given", () => {
  test("is the same object as long as nothing has changed, and its functions always are", async () => {
    const it = open({ key: "1" });
    await it.send(piece(["a"], 1));
    const { now } = it;
    await it.change({});
    expect(it.now).toBe(now);
    const renders = it.seen.length;
    await it.send(piece([], 1), piece([], 1)); // says what is known
    expect([it.now, it.seen.length]).toEqual([now, renders]);
    await it.send(piece([], 1, { runnerProgress: 2 }));
    expect(it.now).not.toBe(now);
    expect(it.now.items).toBe(now.items);
    await it.send(piece([], 1, { runnerProgress: 2, runnerEstimatedEnd: 9 }));
    expect(it.now.progress).toEqual({ current: 2, estimatedEnd: 9 });
    expect(new Set(it.seen.map(({ start }) => start)).size).toBeLessThanOrEqual(2); // strict mode makes two, once
    expect([it.now.start, it.now.stop]).toEqual([now.start, now.stop]);
  });
});

describe("what a page tells its user", () => {
  test("is the phase, whether the work is paused, and the state of the connection", async () => {
    const it = open(search("a"));
    expect(it.now).toMatchObject({ phase: "starting", paused: false, connection: "connecting" });
    await it.answer("POST /search", firstPage(["a"]));
    await it.send(piece(["b"], 2, { runnerPaused: true }));
    expect(it.now).toMatchObject({ phase: "running", paused: true, connection: "open", status: "progressed" });
    it.server.find("GET /").fail();
    await it.settle();
    expect(it.now).toMatchObject({ phase: "running", connection: "retrying", items: ["a", "b"] });
    await act(() => vi.advanceTimersByTimeAsync(10_000));
    await it.send(piece([], 2, completed));
    expect(it.now).toMatchObject({ phase: "completed", paused: false, connection: "closed", isRunning: false });
  });

  test("is nothing before a start by hand", async () => {
    const it = open(manual);
    await it.settle();
    expect(it.now).toMatchObject({ phase: undefined, connection: "closed" });
  });

  test("is that it has failed when it could not be created", async () => {
    const it = open(search("a"));
    await it.settle();
    it.server.find("POST /search").refuse(422, "INVALID_INPUT");
    await it.settle();
    expect(it.now).toMatchObject({ phase: "failed", connection: "closed", error: { code: "INVALID_INPUT" } });
  });

  test("is nothing of a connection that belongs to a former runner", async () => {
    const it = open(manual, { onUnmount: "stop" });
    await it.do(() => it.now.start({ word: "a" }));
    await it.answer("POST /search", firstPage(["a"]));
    await it.send(piece(["b"], 2));
    await it.do(() => it.now.start({ word: "b" }));
    await it.settle();
    expect(it.now).toMatchObject({ phase: "starting", connection: "connecting", items: [] });
  });
});

describe("a runner whose component goes", () => {
  test("goes on by default", async () => {
    const it = open(search("a"));
    await it.answer("POST /search", firstPage(["a"]));
    it.unmount();
    await act(() => vi.advanceTimersByTimeAsync(1000));
    expect(it.server.asked.filter((what) => what.includes("abort"))).toEqual([]);
    expect(it.server.find("GET /").signal?.aborted).toBe(true);
  });

  test("is stopped if another input has replaced it, also by default", async () => {
    const it = open(search("a"));
    await it.answer("POST /search", firstPage(["a"]));
    await it.change({ target: search("b") });
    expect(it.server.asked).toContain("POST /0-1-x/abort");
    expect(it.now).toMatchObject({ phase: "starting", items: [] });
    await it.answer("POST /search", firstPage(["b"], { closed: true, status: "completed" }));
  });
});

describe("a runner that the tab keeps under a name", () => {
  const named = (word: string) => ({ ...search(word), resume: "search" }) as const;
  const byHand = { ...manual, resume: "search" } as const;

  afterEach(() => sessionStorage.clear());

  test("is found again by a component that is mounted again, from the first item that is kept", async () => {
    const first = open(named("a"));
    await first.answer("POST /search", firstPage(["a"]));
    await first.send(piece(["b"], 2));
    first.unmount();
    await act(() => vi.advanceTimersByTimeAsync(0));
    const it = open(named("a"));
    await it.answer("GET /0-1-x/state", { key: "0-1-x" }, 200);
    expect(it.server.asked).toEqual(["GET /0-1-x/state", "GET /0-1-x?offset=-1&live=sse&acks=true"]);
    await it.answer("GET /0-1-x?", { code: "POSITION_GONE", message: "gone" }, 410, {
      ...{ "Runner-Error-Code": "POSITION_GONE", "Runner-First-Offset": "0000000000000001" },
    });
    expect(it.server.asked.at(-1)).toBe("GET /0-1-x?offset=1&live=sse&acks=true");
    await it.send(piece(["b"], 2, completed));
    expect(it.now).toMatchObject({ items: ["b"], phase: "completed", key: "0-1-x" });
  });

  test("is created when the server does not have it any more", async () => {
    const first = open(named("a"));
    await first.answer("POST /search", firstPage(["a"]));
    first.unmount();
    await act(() => vi.advanceTimersByTimeAsync(0));
    const it = open(named("a"));
    await it.answer("GET /0-1-x/state", {}, 410, { "Runner-Error-Code": "RUNNER_GONE" });
    await it.answer("POST /search", firstPage(["new"], { closed: true, status: "completed" }));
    expect(it.now).toMatchObject({ items: ["new"], phase: "completed" });
  });

  test("before the answer is found by its idempotency key", async () => {
    const first = open(named("a"));
    await first.settle();
    first.unmount();
    await act(() => vi.advanceTimersByTimeAsync(0));
    const it = open(named("a"));
    await it.settle();
    expect(it.server.find("POST /search").idempotencyKey).toBe(first.server.find("POST /search").idempotencyKey);
    await it.answer("POST /search", firstPage(["a"], { closed: true, status: "completed" }));
    expect(it.now).toMatchObject({ items: ["a"], phase: "completed" });
    await first.answer("POST /search", firstPage(["a"], { closed: true, status: "completed" }));
  });

  test("with another input is stopped, and replaced", async () => {
    const first = open(named("a"));
    await first.answer("POST /search", firstPage(["a"]));
    first.unmount();
    await act(() => vi.advanceTimersByTimeAsync(0));
    const it = open(named("b"));
    await it.settle();
    expect(it.server.asked).toEqual(["POST /0-1-x/abort", "POST /search"]);
    await it.answer("POST /0-1-x/abort", {}, 200);
    await it.answer("POST /search", firstPage(["b"], { closed: true, status: "completed" }));
    expect(it.now.items).toEqual(["b"]);
  });

  test("and is started by hand joins what is kept, and is idle when that is gone", async () => {
    const first = open(byHand);
    await first.do(() => first.now.start({ word: "a" }));
    await first.answer("POST /search", firstPage(["a"]));
    first.unmount();
    await act(() => vi.advanceTimersByTimeAsync(0));
    const second = open(byHand);
    await second.settle();
    expect(second.now).toMatchObject({ phase: "starting", key: "0-1-x" });
    await second.answer("GET /0-1-x/state", { key: "0-1-x" }, 200);
    await second.send(piece(["a"], 1));
    expect(second.now).toMatchObject({ phase: "running", items: ["a"] });
    second.unmount();
    await act(() => vi.advanceTimersByTimeAsync(0));
    const third = open(byHand);
    await third.answer("GET /0-1-x/state", {}, 410, { "Runner-Error-Code": "RUNNER_GONE" });
    expect(third.now).toMatchObject({ phase: undefined, isRunning: false, key: undefined });
    expect(third.server.asked).toEqual(["GET /0-1-x/state"]);
  });

  test("and is replaced while it is being found is not shown", async () => {
    const first = open(byHand);
    await first.do(() => first.now.start({ word: "a" }));
    await first.answer("POST /search", firstPage(["a"]));
    first.unmount();
    await act(() => vi.advanceTimersByTimeAsync(0));
    const it = open(byHand);
    await it.settle();
    const finding = it.server.find("GET /0-1-x/state");
    await it.do(() => it.now.start({ word: "b" }));
    expect(it.server.asked).toContain("POST /0-1-x/abort");
    await it.answer("POST /0-1-x/abort", {}, 200);
    finding.respond({ key: "0-1-x" }, 200);
    await it.settle();
    expect(it.now).toMatchObject({ phase: "starting", key: undefined, items: [] });
    await it.answer("POST /search", firstPage(["b"], { closed: true, status: "completed" }, "2"));
    expect(it.now).toMatchObject({ items: ["b"], phase: "completed" });
  });

  test("is stopped while it is being found, too", async () => {
    const first = open(named("a"));
    await first.answer("POST /search", firstPage(["a"]));
    first.unmount();
    await act(() => vi.advanceTimersByTimeAsync(0));
    const it = open(named("a"));
    await it.settle();
    await it.do(() => it.now.stop());
    expect(it.server.asked).toContain("POST /0-1-x/abort");
    await it.answer("POST /0-1-x/abort", {}, 200);
    await it.answer("GET /0-1-x/state", { key: "0-1-x" }, 200);
    await it.send(piece(["a"], 1, { ...completed, runnerStatus: "aborted", runnerAbortReason: "stopped" }));
    expect(it.now).toMatchObject({ phase: "aborted", abortReason: "stopped", items: ["a"] });
  });
});
