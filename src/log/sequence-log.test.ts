import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { isPending, listenerCount, turns } from "../../test/support/control.js";
import { anyJson, type Patience, readFrom, withCode } from "../../test/support/logs.js";
import type { PendingRead, ReadRequest, Slice } from "./result-log.js";
import { SequenceLog } from "./sequence-log.js";
import type { SequenceLogOptions } from "./sequence-sink.js";

/** A log that is running and tells when its status became final. */
function openLog(options: Partial<SequenceLogOptions> = {}) {
  const onFinal = vi.fn();
  const log = new SequenceLog<number>({ aheadLimit: 1000, retain: "unacknowledged", ...options }, { onFinal });
  log.start();
  return { log, onFinal };
}

/** Appends the items from the present progress on to `end`, whatever the bound. */
function produce(log: SequenceLog<number>, end: number): void {
  for (let item = log.current.progress.current; item < end; item++) log.append(item);
}

/** Waits for `advance` items. */
function required(
  log: SequenceLog<number>,
  advance: number,
  more: Partial<ReadRequest> & Patience = {},
): Promise<Slice<number[]>> {
  return readFrom(log, { min: advance, max: advance, ...more });
}

/** Takes at most `max` items of what there is. */
function available(log: SequenceLog<number>, more: Partial<ReadRequest> = {}): Promise<Slice<number[]>> {
  return readFrom(log, { min: 0, max: Number.POSITIVE_INFINITY, ...more });
}

function finishBy(log: SequenceLog<number>, how: "abort" | "end" | "fail"): void {
  if (how === "abort") log.abort("stopped");
  else log[how](undefined);
}

describe("an item without a JSON form", () => {
  const formless = () =>
    withCode(0, () => {
      throw new Error("no form");
    });
  const refusal = { code: "RESULT_NOT_SERIALIZABLE" };

  test.each([
    ["at once", 3],
    ["after its turn", 1],
  ])(
    "refuses a read that is settled %s: it has taken nothing, and what it left comes next",
    async (_when, existing) => {
      const { log } = openLog();
      log.append(formless());
      produce(log, existing);
      const refused = required(log, 1, { json: anyJson });
      await expect(refused).rejects.toMatchObject(refusal);
      expect(log.current.position).toBe(0);
      produce(log, 3);
      expect((await available(log)).result).toEqual([expect.anything(), 1, 2]);
    },
  );

  test.each(["end", "abort"] as const)("stays in the log at the %s", async (finish) => {
    const { log } = openLog();
    log.append(formless());
    const refused = required(log, 1, { json: anyJson });
    const other = available(log, { start: 0 });
    finishBy(log, finish);
    await expect(refused).rejects.toMatchObject(refusal);
    expect(await other).toMatchObject({ result: [expect.anything()], closed: true });
  });
});

describe("items with JSON", () => {
  test("come with as many as fit; the rest comes next", async () => {
    const { log } = openLog();
    produce(log, 5);
    const json = { bytes: 6, itemBytes: 100 };
    const slice = await available(log, { json });
    expect(slice).toMatchObject({ result: [0, 1], position: 2, json: { text: "[0,1]", count: 2, isFull: true } });
    log.end();
    expect(await available(log, { json: anyJson })).toMatchObject({ json: { text: "[2,3,4]", isFull: false } });
    expect(await available(log, { json: anyJson })).toMatchObject({ result: [], json: { text: "[]", count: 0 } });
  });

  test("settle a read that waits for more as soon as they fill a page", async () => {
    const { log } = openLog();
    const reading = required(log, 100, { json: { bytes: 20, itemBytes: 100 } });
    produce(log, 3);
    expect(await isPending(reading)).toBe(true);
    produce(log, 50);
    expect(await reading).toMatchObject({ json: { text: "[0,1,2,3,4,5,6,7,8]", isFull: true }, position: 9 });
  });

  test("are not made where they are not wanted", async () => {
    const { log } = openLog();
    const run = vi.fn();
    log.append(withCode(0, run));
    expect((await available(log)).json).toBeUndefined();
    expect(run).not.toHaveBeenCalled();
  });
});

describe("a read that is cancelled between being settled and being taken", () => {
  /** A read that is settled, and its slice. */
  const settled = async (log: SequenceLog<number>, advance: number) => {
    const read = log.read({ min: advance, max: advance }) as PendingRead<number[]>;
    return { read, slice: await read.settled };
  };

  test("has taken nothing: the next one at the default position begins where it did", async () => {
    const { log } = openLog();
    produce(log, 2);
    const { read } = await settled(log, 2);
    await expect(available(log)).rejects.toMatchObject({ code: "READ_CONFLICT" });
    read.cancel(new Error("left"));
    expect(() => read.take()).toThrow("left");
    expect(log.current).toMatchObject({ position: 0, status: "progressed" });
    expect((await available(log)).result).toEqual([0, 1]);
  });

  test("is not undone once it is taken, or the log is final; what was acknowledged meanwhile does not come again", async () => {
    const { log } = openLog();
    produce(log, 2);
    const { read: first } = await settled(log, 2);
    first.take();
    first.cancel("late");
    first.take();
    expect(log.current.position).toBe(2);
    produce(log, 4);
    const { read: second } = await settled(log, 2);
    await log.acknowledge(3);
    second.cancel("left");
    expect(log.current.position).toBe(3);
    const reading = settled(log, 1);
    log.end();
    const { read: last, slice } = await reading;
    expect(slice.status).toBe("completed");
    last.cancel("left");
    last.take();
    expect(log.current).toMatchObject({ position: 4, status: "completed" });
  });
});

describe("an item whose JSON aborts the log", () => {
  test("comes as the abort has left it", async () => {
    const { log } = openLog();
    produce(log, 3);
    log.append(withCode(3, () => log.abort("stopped")));
    produce(log, 6);
    await available(log, { max: 4 });
    const slice = await available(log, { start: 3, json: anyJson });
    expect(slice).toMatchObject({ position: 4, status: "aborted", closed: true, json: { text: "[3]", count: 1 } });
    expect(log.current).toMatchObject({ position: 4, progress: { current: 4, estimatedEnd: 4 } });
  });

  test("does not keep other reads waiting", async () => {
    const { log } = openLog();
    const first = required(log, 1, { start: 0, json: anyJson });
    const second = required(log, 5, { start: 0 });
    log.append(withCode(0, () => log.abort("stopped")));
    log.append(1);
    expect(await first).toMatchObject({ json: { text: "[0]" }, status: "progressed", closed: false });
    expect(await second).toMatchObject({ result: [expect.anything(), 1], status: "aborted", closed: true });
    expect(log.current).toMatchObject({ status: "aborted", position: 2 });
  });

  test.each([
    ["at the end of the turn that they have in common", 1],
    ["in the step that brings more than they wait for", 2],
  ])("has other reads settled once, %s", async (_when, count) => {
    const { log, onFinal } = openLog();
    const first = required(log, 1, { start: 0, json: anyJson });
    const second = required(log, 1, { start: 0 });
    log.append(withCode(0, () => log.abort("stopped")));
    produce(log, count);
    await first;
    expect((await second).result).toHaveLength(1);
    await turns();
    expect(onFinal).toHaveBeenCalledTimes(1);
  });
});

describe("a log that is not started", () => {
  test("answers a read that need not wait at once, with nothing", async () => {
    const log = new SequenceLog<number>({ aheadLimit: 5, retain: "all" }, { onFinal: vi.fn() });
    expect(log.current.status).toBe("not-started");
    expect(await available(log)).toMatchObject({
      result: [],
      start: 0,
      position: 0,
      status: "not-started",
      closed: false,
    });
  });

  test("keeps a waiting read until items come", async () => {
    const log = new SequenceLog<number>({ aheadLimit: 5, retain: "all" }, { onFinal: vi.fn() });
    const waiting = required(log, 1);
    expect(await isPending(waiting)).toBe(true);
    log.start();
    log.append(0);
    expect((await waiting).result).toEqual([0]);
  });
});

describe("reading", () => {
  test("gives consecutive items and moves the position to the end of the furthest one", async () => {
    const { log } = openLog();
    produce(log, 10);
    expect(await required(log, 3)).toMatchObject({ result: [0, 1, 2], start: 0, position: 3, status: "progressed" });
    expect(await required(log, 4)).toMatchObject({ result: [3, 4, 5, 6], start: 3, position: 7 });
    expect(await available(log)).toMatchObject({ result: [7, 8, 9], position: 10, status: "stalled", closed: false });
    expect(log.current).toMatchObject({ position: 10, status: "stalled", progress: { current: 10 } });
  });

  test("tells in the slice what was true when it was formed, although more has come since (#3)", async () => {
    const { log } = openLog();
    produce(log, 3);
    const reading = required(log, 2);
    produce(log, 50);
    const slice = await reading;
    expect(slice).toMatchObject({ result: [0, 1], position: 2, status: "progressed", progress: { current: 3 } });
    expect(log.current.progress.current).toBe(50);
  });

  test("never moves the position back", async () => {
    const { log } = openLog({ retain: "all" });
    produce(log, 10);
    await required(log, 8);
    expect(await required(log, 2, { start: 1 })).toMatchObject({ result: [1, 2], position: 3, status: "progressed" });
    expect(log.current.position).toBe(8);
  });

  test("at the tail gives what comes next and acknowledges nothing", async () => {
    const { log } = openLog();
    produce(log, 4);
    const waiting = required(log, 1, { start: "tail" });
    log.append(4);
    expect(await waiting).toMatchObject({ result: [4], start: 4, position: 5 });
    expect(log.acknowledged).toBe(0);
  });

  test("an empty read at the tail moves neither position nor status, even of an ended log", async () => {
    const { log, onFinal } = openLog();
    produce(log, 4);
    log.end();
    expect(await available(log, { start: "tail" })).toMatchObject({ result: [], position: 4, closed: true });
    expect(log.current).toMatchObject({ position: 0, status: "progressed" });
    expect(onFinal).not.toHaveBeenCalled();
  });

  test("an infinite advance waits for the end and takes everything", async () => {
    const { log } = openLog({ aheadLimit: 2 });
    const all = required(log, Number.POSITIVE_INFINITY);
    for (let item = 0; item < 100; item++) {
      expect(log.isFull).toBe(false);
      log.append(item);
    }
    expect(await isPending(all)).toBe(true);
    log.end();
    expect(await all).toMatchObject({ position: 100, status: "completed", closed: true });
  });
});

describe("a read that follows", () => {
  const follow = (log: SequenceLog<number>, more: Partial<ReadRequest> & Patience = {}) =>
    readFrom(log, { min: 1, max: 10, mode: "follow", ...more });

  test("that has waited for a turn gets what comes in the very step in which it comes", async () => {
    const { log } = openLog();
    const reading = follow(log);
    await turns();
    log.append(0);
    expect(log.current.position).toBe(1);
    expect(await reading).toMatchObject({ result: [0], status: "stalled", closed: false });
  });

  test("that has not yet waited for a turn gives the source one, and gets all that comes in it, and its end", async () => {
    const { log } = openLog();
    const reading = follow(log);
    log.append(0);
    expect(log.current.position).toBe(0);
    log.append(1);
    log.end();
    expect(await reading).toMatchObject({ result: [0, 1], status: "completed", closed: true });
  });

  test("that follows another one at once waits for a turn of its own", async () => {
    const { log } = openLog();
    void follow(log);
    await turns();
    log.append(0);
    const reading = follow(log, { start: 1 });
    log.append(1);
    log.append(2);
    expect(log.current.position).toBe(1);
    expect(await reading).toMatchObject({ result: [1, 2], closed: false });
  });

  test("gets the end as a slice of its own when its items came before", async () => {
    const { log } = openLog();
    const reading = follow(log);
    await turns();
    log.append(0);
    log.end();
    expect(await reading).toMatchObject({ result: [0], closed: false });
    expect(await follow(log)).toMatchObject({ result: [], status: "completed", closed: true });
  });

  test("waits for as many as it asks for", async () => {
    const { log } = openLog();
    const reading = follow(log, { min: 2 });
    await turns();
    log.append(0);
    expect(log.current.position).toBe(0);
    log.append(1);
    expect(log.current.position).toBe(2);
    expect(await reading).toMatchObject({ result: [0, 1] });
  });

  test("beside one that is not leaves that one its turn", async () => {
    const { log } = openLog();
    const reading = follow(log, { start: 0 });
    const patient = required(log, 1, { start: 0 });
    await turns();
    log.append(0);
    expect(await reading).toMatchObject({ result: [0], closed: false }); // before the next turn
    log.end();
    expect(await patient).toMatchObject({ result: [0], status: "completed", closed: true });
  });

  test("that is cancelled while its turn passes is rejected, and nothing more happens to it", async () => {
    const { log } = openLog();
    const cut = new AbortController();
    const reading = follow(log, { signal: cut.signal });
    cut.abort(new Error("left"));
    await expect(reading).rejects.toThrow("left");
    await turns();
    log.append(0);
    expect(log.current.position).toBe(0);
  });
});

describe("the one turn that the source gets", () => {
  test("an end in that turn comes with exactly the number of items that exist", async () => {
    const { log, onFinal } = openLog();
    produce(log, 3);
    const reading = required(log, 3);
    setImmediate(() => log.end());
    expect(await reading).toMatchObject({ result: [0, 1, 2], status: "completed", closed: true });
    expect(onFinal).toHaveBeenCalledTimes(1);
  });

  test("a failure in that turn comes with the items too", async () => {
    const { log } = openLog();
    produce(log, 3);
    const reading = required(log, 3);
    setImmediate(() => log.fail(new Error("late")));
    const slice = await reading;
    expect(slice).toMatchObject({ result: [0, 1, 2], status: "failed" });
    expect(slice.error?.cause).toEqual(new Error("late"));
  });

  test("is given to each read: one that is satisfied later is answered when a turn of its own is over", async () => {
    const { log } = openLog();
    const answered: string[] = [];
    const ask = (name: string, min: number) =>
      required(log, min, { start: 0, max: 10 }).then(({ position }) => answered.push(`${name} ${position}`));
    const reading = [ask("first", 1), ask("as early", 1), ask("later", 2)];
    log.append(0);
    await turns(1);
    log.append(1);
    await turns(1);
    expect(answered).toEqual(["first 2", "as early 2"]);
    await turns(2);
    expect(answered).toEqual(["first 2", "as early 2", "later 2"]);
    await Promise.all(reading);
  });

  test("is given to a read of what is available too, which takes what comes meanwhile", async () => {
    const { log } = openLog();
    produce(log, 2);
    const reading = available(log);
    setImmediate(() => {
      log.append(2);
      log.end();
    });
    expect(await reading).toMatchObject({ result: [0, 1, 2], status: "completed" });
  });

  test("is not waited for once an item beyond the slice shows that there is more", async () => {
    const { log } = openLog();
    produce(log, 3);
    const reading = required(log, 3);
    log.append(3);
    expect(log.current.position).toBe(3);
    expect(await reading).toMatchObject({ result: [0, 1, 2], status: "progressed" });
  });

  test("ends in `stalled` when the source says nothing", async () => {
    const { log } = openLog();
    produce(log, 3);
    expect(await required(log, 3)).toMatchObject({ status: "stalled", closed: false });
  });

  test("can be cut short by the reader, who has then taken nothing, but not by its time-out", async () => {
    const { log } = openLog();
    produce(log, 1);
    const controller = new AbortController();
    const reading = required(log, 1, { signal: controller.signal });
    controller.abort("left");
    await expect(reading).rejects.toBe("left");
    expect(log.current.position).toBe(0);
    const read = log.read({ min: 1, max: 1 }) as PendingRead<number[]>;
    read.giveUp();
    log.end();
    expect(await read.settled).toMatchObject({ result: [0], closed: true });
  });
});

describe("acknowledgement", () => {
  test("a start gives up everything before it, and nothing else", async () => {
    const { log } = openLog();
    produce(log, 10);
    await required(log, 6);
    expect([log.current.firstPosition, log.size]).toEqual([0, 10]);
    await required(log, 1, { start: 4 });
    expect([log.current.firstPosition, log.size, log.acknowledged]).toEqual([4, 6, 4]);
  });

  test("the same start can be read again, with later items behind the same ones", async () => {
    const { log } = openLog();
    produce(log, 4);
    expect((await required(log, 3, { start: 0 })).result).toEqual([0, 1, 2]);
    expect((await required(log, 3, { start: 0 })).result).toEqual([0, 1, 2]);
    produce(log, 6);
    expect((await available(log, { start: 0 })).result).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test("never gives up what another pending read waits for", async () => {
    const { log } = openLog();
    produce(log, 5);
    const slow = required(log, 10, { start: 2 });
    await required(log, 1, { start: 4 });
    expect([log.acknowledged, log.current.firstPosition]).toEqual([2, 2]);
    produce(log, 13);
    expect((await slow).result).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  });

  test("never gives up what a read holds that has its items and waits out its turn", async () => {
    const { log } = openLog();
    produce(log, 5);
    const lingering = required(log, 5, { start: 0 });
    const other = available(log, { start: 5 });
    expect(log.current.firstPosition).toBe(0);
    expect((await lingering).result).toEqual([0, 1, 2, 3, 4]);
    expect((await other).result).toEqual([]);
  });

  test("that a pending read held back is made up for when the log ends, or is aborted", async () => {
    for (const finish of ["end", "abort"] as const) {
      const { log } = openLog();
      produce(log, 10);
      await available(log);
      const waiting = required(log, 20, { start: 2 });
      await log.acknowledge(6);
      expect(log.acknowledged).toBe(2);
      finishBy(log, finish);
      expect((await waiting).result).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
      expect([log.acknowledged, log.current.firstPosition]).toEqual([6, 6]);
    }
  });

  test("a refused read acknowledges nothing and moves nothing", async () => {
    const { log } = openLog();
    produce(log, 5);
    await required(log, 3);
    await required(log, 1, { start: 2 });
    const before = log.current;
    await expect(required(log, 1, { start: 6 })).rejects.toMatchObject({ code: "POSITION_AHEAD" });
    await expect(required(log, 1, { start: 1 })).rejects.toMatchObject({ code: "POSITION_GONE", firstPosition: 2 });
    expect(log.current).toEqual(before);
    expect(log.acknowledged).toBe(2);
  });

  test("can be switched off for a read", async () => {
    const { log } = openLog();
    produce(log, 5);
    await required(log, 2, { start: 3, acknowledge: false });
    expect([log.acknowledged, log.current.firstPosition, log.current.position]).toEqual([0, 0, 5]);
  });

  test("by itself gives up everything before a position that was handed out", async () => {
    const { log } = openLog();
    produce(log, 5);
    await required(log, 3);
    await log.acknowledge(3);
    expect([log.acknowledged, log.current.firstPosition]).toEqual([3, 3]);
    await log.acknowledge(1); // an old one that comes late
    expect(log.acknowledged).toBe(3);
  });

  test("by itself is refused beyond what was handed out, and acknowledges nothing then", async () => {
    const { log } = openLog();
    produce(log, 5);
    await required(log, 3);
    await expect(log.acknowledge(4)).rejects.toMatchObject({ code: "POSITION_AHEAD", status: 400 });
    expect(log.acknowledged).toBe(0);
  });

  test("between the end of an aborted log and its former progress is none of an unknown position", async () => {
    const { log } = openLog();
    produce(log, 9);
    await required(log, 3);
    log.abort("stopped");
    await log.acknowledge(7);
    await expect(log.acknowledge(10)).rejects.toMatchObject({ code: "POSITION_AHEAD" });
  });

  test("of what an abort has cut off moves nothing: the log ends where it was cut", async () => {
    const { log } = openLog();
    produce(log, 9);
    await required(log, 3);
    log.abort("stopped");
    await log.acknowledge(7);
    expect(log.acknowledged).toBe(3);
    expect(log.current).toMatchObject({ position: 3, status: "aborted", progress: { current: 3, estimatedEnd: 3 } });
    expect(await available(log)).toMatchObject({ result: [], start: 3, position: 3, closed: true });
  });

  test.each([
    { retain: "unacknowledged", first: 8 },
    { retain: 0, first: 8 },
    { retain: 3, first: 5 },
    { retain: 8, first: 0 },
    { retain: 100, first: 0 },
    { retain: "all", first: 0 },
  ] as const)(
    "with retain $retain the log keeps what is acknowledged from position $first on",
    async ({ retain, first }) => {
      const { log } = openLog({ retain });
      produce(log, 10);
      await required(log, 8);
      await log.acknowledge(8);
      expect(log.current.firstPosition).toBe(first);
      expect(log.size).toBe(10 - first);
      expect((await available(log, { start: first })).result).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].slice(first));
      if (first > 0) {
        await expect(available(log, { start: first - 1 })).rejects.toMatchObject({
          code: "POSITION_GONE",
          status: 410,
          firstPosition: first,
        });
      }
    },
  );
});

describe("back-pressure", () => {
  test("the log is full when so many items are not acknowledged", async () => {
    const { log } = openLog({ aheadLimit: 3 });
    produce(log, 2);
    expect(log.isFull).toBe(false);
    produce(log, 3);
    expect(log.isFull).toBe(true);
    const room = log.room();
    await required(log, 3); // handed out is not acknowledged
    expect(await isPending(room)).toBe(true);
    await log.acknowledge(1);
    await room;
    expect(log.isFull).toBe(false);
    log.append(3);
    expect(log.isFull).toBe(true);
  });

  test("what retain keeps does not count", async () => {
    const { log } = openLog({ aheadLimit: 3, retain: "all" });
    produce(log, 3);
    await required(log, 3);
    await log.acknowledge(3);
    expect(log.isFull).toBe(false);
    produce(log, 6);
    expect(log.isFull).toBe(true);
  });

  test("a pending read raises the bound to the end it waits for, until it settles", async () => {
    const { log } = openLog({ aheadLimit: 2 });
    const waiting = required(log, 5);
    for (let item = 0; item < 5; item++) {
      expect(log.isFull).toBe(false);
      log.append(item);
    }
    expect(log.isFull).toBe(true);
    expect((await waiting).result).toEqual([0, 1, 2, 3, 4]);
    expect(log.isFull).toBe(true);
  });

  test("a paused producer goes on as soon as a read needs more", async () => {
    const { log } = openLog({ aheadLimit: 2 });
    produce(log, 2);
    const room = log.room();
    expect(await isPending(room)).toBe(true);
    const waiting = required(log, 3);
    await room;
    log.append(2);
    expect((await waiting).result).toEqual([0, 1, 2]);
  });

  test("a cancelled read lowers the bound again", async () => {
    const { log } = openLog({ aheadLimit: 2 });
    const controller = new AbortController();
    const waiting = required(log, 50, { signal: controller.signal });
    produce(log, 4);
    expect(log.isFull).toBe(false);
    controller.abort("enough");
    await expect(waiting).rejects.toBe("enough");
    expect(log.isFull).toBe(true);
  });

  test("a read that is given up lowers the bound at once, not only when its turn is over", async () => {
    vi.useFakeTimers();
    const { log } = openLog({ aheadLimit: 2 });
    const waiting = required(log, 50, { timeout: 1000 });
    produce(log, 4);
    expect(log.isFull).toBe(false);
    vi.advanceTimersByTime(1000);
    expect(log.isFull).toBe(true);
    expect((await waiting).result).toEqual([0, 1, 2, 3]);
    expect(log.isFull).toBe(true);
  });

  test("a reader that follows does not raise the bound", () => {
    const { log } = openLog({ aheadLimit: 2 });
    const reading = required(log, 10, { mode: "follow" });
    produce(log, 2);
    expect(log.isFull).toBe(true);
    log.abort("stopped");
    return expect(reading).resolves.toMatchObject({ result: [0, 1], status: "aborted" });
  });

  test.each(["abort", "end", "fail"] as const)("%s frees a paused producer (#46)", async (how) => {
    const { log } = openLog({ aheadLimit: 1 });
    produce(log, 1);
    const room = log.room();
    finishBy(log, how);
    await room;
    expect(log.isFull).toBe(false);
  });
});

describe("several reads", () => {
  test("may wait at once when each names its start", async () => {
    const { log } = openLog({ retain: "all" });
    const first = required(log, 2, { start: 0 });
    const second = required(log, 3, { start: 0 });
    produce(log, 4);
    expect((await first).result).toEqual([0, 1]);
    expect((await second).result).toEqual([0, 1, 2]);
  });

  test.each(["required", "available"] as const)("another %s read at the default position is refused", async (kind) => {
    const { log } = openLog();
    const pending = required(log, 1);
    const second = kind === "required" ? required(log, 1) : available(log);
    await expect(second).rejects.toMatchObject({ code: "READ_CONFLICT", status: 409 });
    log.append(0);
    expect((await pending).result).toEqual([0]);
    expect((await available(log)).result).toEqual([]);
  });

  test("a read is pending at the default position during its turn too", async () => {
    const { log } = openLog();
    produce(log, 1);
    const first = required(log, 1);
    await expect(available(log)).rejects.toMatchObject({ code: "READ_CONFLICT" });
    expect((await first).result).toEqual([0]);
  });

  test("a read that names its start is welcome beside one at the default position (#22; design §5 rule 5)", async () => {
    const { log } = openLog();
    const pending = required(log, 2);
    const named = required(log, 1, { start: 0 });
    produce(log, 3);
    expect((await pending).result).toEqual([0, 1]);
    expect((await named).result).toEqual([0]);
  });

  test.each(["cancelled", "aborted", "ended"] as const)(
    "the default position is free again after a %s read (#22)",
    async (how) => {
      const { log } = openLog();
      const controller = new AbortController();
      const pending = required(log, 1, { signal: controller.signal });
      if (how === "cancelled") {
        controller.abort("x");
        await expect(pending).rejects.toBe("x");
      } else {
        if (how === "aborted") log.abort("stopped");
        else log.end();
        await pending;
      }
      await expect(available(log)).resolves.toMatchObject({ result: [] });
    },
  );
});

describe("cancellation", () => {
  test("rejects with the signal's reason, takes nothing and leaves no listener (#40, #60)", async () => {
    const { log } = openLog();
    const controller = new AbortController();
    const waiting = required(log, 5, { signal: controller.signal });
    produce(log, 3);
    expect(listenerCount(controller.signal)).toBe(1);
    const reason = new Error("no longer wanted");
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    expect(listenerCount(controller.signal)).toBe(0);
    expect(log.current).toMatchObject({ position: 0, status: "progressed" });
    expect((await available(log)).result).toEqual([0, 1, 2]);
  });

  test("does not touch other reads", async () => {
    const { log } = openLog();
    const controller = new AbortController();
    const other = required(log, 2, { start: 0 });
    const cancelled = required(log, 2, { start: 0, signal: controller.signal });
    controller.abort("x");
    await expect(cancelled).rejects.toBe("x");
    produce(log, 2);
    expect((await other).result).toEqual([0, 1]);
  });

  test.each(["settled", "ended", "aborted"] as const)("a %s read has no listener at its signal", async (how) => {
    const { log } = openLog();
    const { signal } = new AbortController();
    const waiting = required(log, 1, { signal });
    expect(listenerCount(signal)).toBe(1);
    if (how === "settled") log.append(0);
    if (how === "ended") log.end();
    if (how === "aborted") log.abort("stopped");
    await waiting;
    expect(listenerCount(signal)).toBe(0);
  });
});

describe("a read with a time-out", () => {
  test("gives what is there when the time is up", async () => {
    vi.useFakeTimers();
    const { log } = openLog();
    const waiting = required(log, 5, { timeout: 1000 });
    produce(log, 2);
    vi.advanceTimersByTime(999);
    expect(await isPending(waiting)).toBe(true);
    vi.advanceTimersByTime(1);
    expect(await waiting).toMatchObject({ result: [0, 1], position: 2, status: "stalled" });
  });

  test("gives nothing when there is nothing", async () => {
    vi.useFakeTimers();
    const { log } = openLog();
    const waiting = required(log, 5, { timeout: 1000 });
    vi.advanceTimersByTime(1000);
    expect(await waiting).toMatchObject({ result: [], position: 0, status: "stalled" });
  });

  test("has no timer any more once it is settled, cancelled or has what it asked for", async () => {
    vi.useFakeTimers();
    const { log } = openLog();
    const controller = new AbortController();
    const cancelled = required(log, 1, { start: 0, timeout: 1000, signal: controller.signal });
    const satisfied = required(log, 1, { start: 0, timeout: 1000 });
    expect(vi.getTimerCount()).toBe(2);
    controller.abort("x");
    await expect(cancelled).rejects.toBe("x");
    log.append(0);
    await satisfied;
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("readers that follow", () => {
  test("learn of a gap when another reader acknowledges their next item away", async () => {
    const { log } = openLog();
    produce(log, 5);
    const following = required(log, 10, { start: 1, mode: "follow", acknowledge: false });
    await required(log, 1, { start: 3 });
    await expect(following).rejects.toMatchObject({ code: "POSITION_GONE", firstPosition: 3 });
  });

  test("learn of a gap of a single item, too; one whose next item is the first kept goes on", async () => {
    const { log } = openLog();
    produce(log, 5);
    const follow = (start: number) => required(log, 4, { start, mode: "follow", acknowledge: false });
    const [late, inTime] = [follow(2), follow(3)];
    await required(log, 1, { start: 3 });
    produce(log, 8);
    await expect(late).rejects.toMatchObject({ code: "POSITION_GONE", firstPosition: 3 });
    expect((await inTime).result).toEqual([3, 4, 5, 6]);
  });
});

describe("the end", () => {
  test("comes with the last items, and only then", async () => {
    const { log, onFinal } = openLog();
    produce(log, 5);
    log.end();
    expect(log.current).toMatchObject({ status: "progressed", ended: true, outcome: "completed" });
    expect(await required(log, 3)).toMatchObject({ status: "progressed", closed: false });
    expect(onFinal).not.toHaveBeenCalled();
    expect(await required(log, 3)).toMatchObject({ result: [3, 4], status: "completed", closed: true });
    expect(onFinal).toHaveBeenCalledTimes(1);
    expect(log.current).toMatchObject({ status: "completed", position: 5, progress: { current: 5, estimatedEnd: 5 } });
  });

  test("is final at once when nothing is left to return (#37)", async () => {
    const { log, onFinal } = openLog();
    produce(log, 2);
    await required(log, 2);
    log.end();
    expect(onFinal).toHaveBeenCalledTimes(1);
    expect(log.current.status).toBe("completed");
  });

  test("settles a pending read with what there is", async () => {
    const { log } = openLog();
    const waiting = required(log, 5);
    produce(log, 2);
    log.end();
    expect(await waiting).toMatchObject({ result: [0, 1], status: "completed" });
  });

  test("by failure hands out the items first, then the error with the last of them", async () => {
    const { log } = openLog();
    const cause = new Error("broken");
    produce(log, 4);
    log.fail(cause);
    const partial = await required(log, 2);
    expect(partial).toMatchObject({ result: [0, 1], status: "progressed" });
    expect(partial.error).toBeUndefined();
    const last = await required(log, 2);
    expect(last).toMatchObject({ result: [2, 3], status: "failed", closed: true });
    expect(last.error).toMatchObject({ code: "RUNNER_FAILED", cause });
    expect((await available(log)).error).toBe(last.error);
  });

  test("the status of a re-read slice speaks for that slice", async () => {
    const { log } = openLog({ retain: "all" });
    produce(log, 4);
    log.end();
    await available(log);
    expect(await required(log, 2, { start: 0 })).toMatchObject({ status: "progressed", closed: false, position: 2 });
    expect(await required(log, 2, { start: 2 })).toMatchObject({ status: "completed", closed: true, position: 4 });
    expect(log.current.status).toBe("completed");
  });

  test("leaves the last page readable with the same start", async () => {
    const { log } = openLog();
    produce(log, 4);
    log.end();
    await required(log, 2, { start: 0 });
    const page = await required(log, 2, { start: 2 });
    expect(await required(log, 2, { start: 2 })).toEqual(page);
    expect(page.status).toBe("completed");
  });

  test("is the end: nothing is added, nothing fails any more", async () => {
    const { log, onFinal } = openLog();
    log.append(0);
    log.end();
    log.append(1);
    log.fail(new Error("late"));
    log.end();
    expect(await available(log)).toMatchObject({ result: [0], status: "completed" });
    expect(log.abort("stopped").hasEffect).toBe(false);
    expect(log.current.status).toBe("completed");
    expect(onFinal).toHaveBeenCalledTimes(1);
  });
});

describe("abort", () => {
  test("settles pending reads with what they have, then drops the rest", async () => {
    const { log, onFinal } = openLog();
    produce(log, 3);
    const waiting = required(log, 5);
    expect(log.abort("stopped").hasEffect).toBe(true);
    expect(onFinal).toHaveBeenCalledTimes(1);
    expect(await waiting).toMatchObject({ result: [0, 1, 2], position: 3, status: "aborted", closed: true });
    expect(log.current).toMatchObject({ position: 3, status: "aborted", progress: { current: 3, estimatedEnd: 3 } });
  });

  test("drops what has not been handed out", async () => {
    const { log } = openLog();
    produce(log, 10);
    await required(log, 4);
    log.abort("stopped");
    expect(log.current).toMatchObject({ position: 4, progress: { current: 4, estimatedEnd: 4 } });
    expect(log.size).toBe(4);
    expect(await available(log)).toMatchObject({ result: [], position: 4, status: "aborted" });
  });

  test("leaves readable what was handed out and is kept", async () => {
    const { log } = openLog();
    produce(log, 10);
    await required(log, 4);
    log.abort("stopped");
    expect(await required(log, 2, { start: 0 })).toMatchObject({ result: [0, 1], status: "progressed" });
    expect(await required(log, 9, { start: 0 })).toMatchObject({ result: [0, 1, 2, 3], status: "aborted" });
  });

  test.each([4, 7, 10])(
    "makes a start of %i, between the end and the former progress, read as the end",
    async (start) => {
      const { log } = openLog();
      produce(log, 10);
      await required(log, 4);
      log.abort("stopped");
      expect(await required(log, 2, { start })).toMatchObject({
        result: [],
        position: 4,
        status: "aborted",
        closed: true,
      });
    },
  );

  test("still refuses a start that never existed", async () => {
    const { log } = openLog();
    produce(log, 10);
    log.abort("stopped");
    await expect(available(log, { start: 11 })).rejects.toMatchObject({ code: "POSITION_AHEAD" });
  });

  test("lets each of several pending reads take its own part", async () => {
    const { log } = openLog();
    produce(log, 5);
    const short = required(log, 5, { start: 0 }); // has all it asked for, in its turn
    const long = required(log, 9, { start: 3 });
    const longest = required(log, 9, { start: 5 });
    log.abort("stopped");
    expect(await short).toMatchObject({ result: [0, 1, 2, 3, 4], position: 5, status: "aborted" });
    expect(await long).toMatchObject({ result: [3, 4], position: 5, status: "aborted" });
    expect(await longest).toMatchObject({ result: [], position: 5, status: "aborted" });
  });

  test("has settled position, progress and status when it tells of itself", () => {
    const seen: unknown[] = [];
    const log: SequenceLog<number> = new SequenceLog<number>(
      { aheadLimit: 9, retain: "all" },
      { onFinal: () => seen.push(log.current) },
    );
    log.start();
    produce(log, 5);
    log.abort("stopped");
    expect(seen).toMatchObject([{ status: "aborted", position: 0, progress: { current: 0 } }]);
  });

  test("of an ended log whose items are unread makes it aborted, without the failure", async () => {
    const { log } = openLog();
    produce(log, 2);
    log.fail(new Error("x"));
    expect(log.abort("stopped").hasEffect).toBe(true);
    const slice = await available(log);
    expect(slice).toMatchObject({ result: [], status: "aborted" });
    expect(slice.error).toBeUndefined();
    expect(log.current.failure).toBeUndefined();
  });

  test("works once, and items that come later are ignored", async () => {
    const { log, onFinal } = openLog();
    expect(log.abort("stopped").hasEffect).toBe(true);
    expect(log.abort("stopped").hasEffect).toBe(false);
    log.append(0);
    log.end();
    log.fail(new Error("late"));
    expect(await available(log)).toMatchObject({ result: [], status: "aborted" });
    expect(onFinal).toHaveBeenCalledTimes(1);
  });

  test("of a log that is not started makes it final", async () => {
    const onFinal = vi.fn();
    const log = new SequenceLog<number>({ aheadLimit: 5, retain: "all" }, { onFinal });
    log.abort("stopped");
    expect(onFinal).toHaveBeenCalledTimes(1);
    expect(await required(log, 5)).toMatchObject({ result: [], position: 0, status: "aborted" });
  });
});

test("whatever a follower does, it sees each item once, in order, and can repeat its last page (#20, #44)", async () => {
  const operation = fc.oneof(
    fc.record({ kind: fc.constant("produce" as const), by: fc.integer({ min: 1, max: 5 }) }),
    fc.record({ kind: fc.constant("read" as const), by: fc.integer({ min: 1, max: 5 }) }),
    fc.record({ kind: fc.constant("repeat" as const), by: fc.integer({ min: 1, max: 5 }) }),
    fc.record({ kind: fc.constant("cancel" as const), by: fc.integer({ min: 1, max: 5 }) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 30 }), fc.boolean(), async (operations, fails) => {
      const { log } = openLog({ aheadLimit: 7 });
      const seen: number[] = [];
      let page: Slice<number[]> | undefined;
      let next = 0;
      const follow = async (max: number) => {
        page = await available(log, { start: seen.length, max });
        seen.push(...page.result);
      };
      for (const { kind, by } of operations) {
        if (kind === "produce") for (let i = 0; i < by && !log.isFull; i++) log.append(next++);
        if (kind === "read") await follow(by);
        if (kind === "repeat" && page) {
          const again = await available(log, { start: page.start });
          expect(again.result.slice(0, page.result.length)).toEqual(page.result);
        }
        if (kind === "cancel") {
          const controller = new AbortController();
          const waiting = required(log, 1000, { start: seen.length, signal: controller.signal });
          controller.abort("x");
          await expect(waiting).rejects.toBe("x");
        }
      }
      if (fails) log.fail(new Error("x"));
      else log.end();
      do await follow(3);
      while (page?.closed === false);
      expect(seen).toEqual(Array.from({ length: next }, (_, i) => i));
      expect(page?.status).toBe(fails ? "failed" : "completed");
    }),
    { seed: 7, numRuns: 60 },
  );
  await turns();
});

describe.each(["idle", "lifetime", "shutdown"] as const)("an abort that was not asked for: %s", (reason) => {
  test("ends the work at once and drops nothing; the status is final when the end has been read", async () => {
    const { log, onFinal } = openLog();
    produce(log, 3);
    expect((await available(log, { max: 1 })).result).toEqual([0]);
    expect(log.abort(reason).hasEffect).toBe(true);
    expect(log.current).toMatchObject({ ended: true, outcome: "aborted", abortReason: reason, status: "progressed" });
    log.append(3); // too late
    expect(await available(log, { max: 1 })).toMatchObject({ result: [1], status: "progressed", closed: false });
    expect(onFinal).not.toHaveBeenCalled();
    expect(await available(log)).toMatchObject({ result: [2], status: "aborted", closed: true });
    expect([log.status, onFinal.mock.calls.length]).toEqual(["aborted", 1]);
  });

  test("settles pending reads with what they have", async () => {
    const { log } = openLog();
    const [one, all] = [required(log, 4, { start: 0, max: 1 }), required(log, 4, { start: 0 })];
    produce(log, 2);
    log.abort(reason);
    expect(await one).toMatchObject({ result: [0], status: "progressed" });
    expect(await all).toMatchObject({ result: [0, 1], status: "aborted" });
  });

  test("is final at once if everything has been read, and frees a paused producer", async () => {
    const { log, onFinal } = openLog({ aheadLimit: 1 });
    produce(log, 1);
    const room = log.room();
    await available(log);
    log.abort(reason);
    await room;
    expect([log.status, onFinal.mock.calls.length]).toEqual(["aborted", 1]);
  });

  test("does nothing to work that has ended before; a stop still cuts what is unread, and keeps the first reason", async () => {
    for (const how of ["end", "fail", "abort"] as const) {
      const { log } = openLog();
      produce(log, 2);
      if (how === "abort") log.abort(reason);
      else finishBy(log, how);
      const { outcome } = log.current;
      expect(log.abort("idle").hasEffect).toBe(false);
      expect(log.current).toMatchObject({ outcome, status: "progressed" });
      expect(log.abort("stopped").hasEffect).toBe(true);
      expect(log.current).toMatchObject({ outcome: "aborted", status: "aborted", progress: { current: 0 } });
      expect(log.current.abortReason).toBe(how === "abort" ? reason : "stopped");
    }
  });

  test("that is not read any more becomes final when the log is discarded", () => {
    const { log, onFinal } = openLog();
    produce(log, 2);
    log.abort(reason);
    log.discard();
    expect([log.status, onFinal.mock.calls.length]).toEqual(["aborted", 1]);
  });
});

test("completed work that is discarded unread has completed", () => {
  const { log, onFinal } = openLog();
  produce(log, 2);
  log.end();
  log.abort("idle");
  log.discard();
  expect([log.status, onFinal.mock.calls.length]).toEqual(["completed", 1]);
});

describe("code of an item that runs while the log is cut", () => {
  test("a read that it begins is settled", async () => {
    const { log } = openLog();
    const first = required(log, 3, { start: 0, json: anyJson });
    let begun: Promise<Slice<number[]>> | undefined;
    const begin = () => {
      begun ??= required(log, 9, { start: 0 });
    };
    log.append(withCode(0, begin));
    log.abort("stopped");
    expect(await first).toMatchObject({ json: { text: "[0]" }, status: "aborted" });
    expect(await begun).toMatchObject({ position: 1, status: "aborted" });
  });

  test("a second cut leaves positions in order", async () => {
    const { log } = openLog();
    const before = required(log, 9, { start: 0 });
    const cutting = required(log, 9, { start: 0, json: anyJson });
    let isCut = false;
    const cut = () => isCut && log.abort("stopped");
    log.append(withCode(0, cut));
    produce(log, 4);
    isCut = true;
    const after = required(log, 9, { start: 0 });
    log.abort("stopped");
    const { position, progress } = log.current;
    expect(position).toBeLessThanOrEqual(progress.current);
    for (const slice of await Promise.all([before, cutting, after])) {
      expect(slice).toMatchObject({ status: "aborted", closed: true });
      expect(slice.position).toBeLessThanOrEqual(slice.progress.current);
    }
  });

  test("items that it has dropped are not read as undefined", async () => {
    const { log } = openLog();
    const drop = () => {
      log.abort("shutdown");
      log.discard();
    };
    log.append(withCode(0, drop));
    produce(log, 3);
    log.end();
    const reading = readFrom(log, { start: 0, max: 3, json: anyJson });
    await expect(reading).rejects.toMatchObject({ code: "POSITION_GONE" });
  });
});
