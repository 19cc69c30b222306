import { beforeEach, describe, expect, it, vi } from "vitest";
import { atEnd } from "../../test/support/cleanup.js";
import { Alarm, IdleEntry, IdleList, IdleLists } from "./idle-list.js";

class Item extends IdleEntry {
  constructor(readonly name: string) {
    super();
  }
}

/** A list that records which entries have expired, and when. */
function openList(duration: number, onExpire: (item: Item) => void = () => {}) {
  const expired: string[] = [];
  const times: number[] = [];
  const list = new IdleList<Item>(duration, (item) => {
    expired.push(item.name);
    times.push(performance.now());
    onExpire(item);
  });
  atEnd(() => list.close());
  return { list, expired, times };
}

const [a, b, c] = ["a", "b", "c"].map((name) => () => new Item(name)) as [() => Item, () => Item, () => Item];

describe("an expiry list", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });

  it("expires an entry exactly when its time is up, and once", async () => {
    const { list, expired, times } = openList(100);
    const start = performance.now();
    list.touch(a());
    await vi.advanceTimersByTimeAsync(99);
    expect(expired).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(expired).toEqual(["a"]);
    expect(times).toEqual([start + 100]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(expired).toEqual(["a"]);
  });

  it("restarts the time with each touch", async () => {
    const { list, expired, times } = openList(100);
    const start = performance.now();
    const entry = a();
    list.touch(entry);
    for (let i = 0; i < 5; i++) {
      await vi.advanceTimersByTimeAsync(99);
      list.touch(entry);
    }
    await vi.advanceTimersByTimeAsync(99);
    expect(expired).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(times).toEqual([start + 5 * 99 + 100]);
  });

  it("expires entries in the order of their last use, each at its own time", async () => {
    const { list, expired, times } = openList(100);
    const start = performance.now();
    const [first, second, third] = [a(), b(), c()];
    list.touch(first);
    await vi.advanceTimersByTimeAsync(10);
    list.touch(second);
    await vi.advanceTimersByTimeAsync(10);
    list.touch(third);
    await vi.advanceTimersByTimeAsync(10);
    list.touch(first);
    await vi.advanceTimersByTimeAsync(200);
    expect(expired).toEqual(["b", "c", "a"]);
    expect(times).toEqual([start + 110, start + 120, start + 130]);
  });

  it("moves an entry behind another one that was touched in the same millisecond", async () => {
    const { list, expired } = openList(100);
    const [first, second] = [a(), b()];
    list.touch(first);
    list.touch(second);
    list.touch(first);
    await vi.advanceTimersByTimeAsync(100);
    expect(expired).toEqual(["b", "a"]);
  });

  it.each([
    ["the first", 0, ["b", "c"]],
    ["one in the middle", 1, ["a", "c"]],
    ["the last", 2, ["a", "b"]],
  ] as const)("never expires an entry that was taken out: %s of three", async (_where, index, left) => {
    const { list, expired } = openList(100);
    const entries = [a(), b(), c()];
    for (const entry of entries) list.touch(entry);
    list.remove(entries[index]!);
    await vi.advanceTimersByTimeAsync(500);
    expect(expired).toEqual(left);
  });

  it("takes an entry back that was taken out, with its whole time before it", async () => {
    const { list, expired } = openList(100);
    const entry = a();
    list.touch(entry);
    await vi.advanceTimersByTimeAsync(60);
    list.remove(entry);
    list.remove(entry);
    await vi.advanceTimersByTimeAsync(1000);
    list.touch(entry);
    await vi.advanceTimersByTimeAsync(99);
    expect(expired).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(expired).toEqual(["a"]);
  });

  it("leaves the others alone when an entry that stands in no list is taken out", async () => {
    const { list, expired } = openList(100);
    list.touch(a());
    list.remove(b());
    await vi.advanceTimersByTimeAsync(100);
    expect(expired).toEqual(["a"]);
  });

  it("has let go of an entry before it tells that it has expired", async () => {
    const states: number[] = [];
    const { list, expired } = openList(100, (item) => {
      states.push(item.expiresAt);
      if (expired.length === 1) list.touch(item);
    });
    list.touch(a());
    await vi.advanceTimersByTimeAsync(100);
    expect(states).toEqual([0]);
    await vi.advanceTimersByTimeAsync(100);
    expect(expired).toEqual(["a", "a"]);
  });

  it("spares an entry that the expiry of another one takes out or touches in the same moment", async () => {
    const [first, second, third] = [a(), b(), c()];
    const { list, expired } = openList(100, (item) => {
      if (item !== first) return;
      list.remove(second);
      list.touch(third);
    });
    for (const entry of [first, second, third]) list.touch(entry);
    await vi.advanceTimersByTimeAsync(100);
    expect(expired).toEqual(["a"]);
    await vi.advanceTimersByTimeAsync(100);
    expect(expired).toEqual(["a", "c"]);
  });

  it("sets no timer and expires nothing when its duration is Infinity", async () => {
    const { list, expired } = openList(Number.POSITIVE_INFINITY);
    list.touch(a());
    expect(vi.getTimerCount()).toBe(0);
    await vi.advanceTimersByTimeAsync(1e12);
    expect(expired).toEqual([]);
  });

  it.each([2 ** 31 - 1, 2 ** 31, 2 ** 31 + 5, 2 ** 33])("is right for a duration of %d ms", async (duration) => {
    const { list, expired, times } = openList(duration);
    const start = performance.now();
    list.touch(a());
    await vi.advanceTimersByTimeAsync(duration - 1);
    expect(expired).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(times).toEqual([start + duration]);
  });

  it("uses one timer for any number of entries and does not touch it when they are used", () => {
    const set = vi.spyOn(globalThis, "setTimeout");
    atEnd(() => set.mockRestore());
    const { list } = openList(100);
    const entries = Array.from({ length: 500 }, (_, i) => new Item(String(i)));
    for (let round = 0; round < 3; round++) for (const entry of entries) list.touch(entry);
    expect(vi.getTimerCount()).toBe(1);
    expect(set).toHaveBeenCalledTimes(1);
  });

  it("expires thousands in goes of at most 1000, each in a timer of its own", async () => {
    const { list, expired } = openList(100);
    for (let i = 0; i < 2500; i++) list.touch(new Item(String(i)));
    const counts: number[] = [];
    while (vi.getTimerCount() > 0) {
      await vi.advanceTimersToNextTimerAsync();
      counts.push(expired.length);
    }
    expect(counts).toEqual([1000, 2000, 2500]);
    expect(expired).toEqual(Array.from({ length: 2500 }, (_, i) => String(i)));
  });

  it("does not care for the wall clock being set", async () => {
    const { list, expired } = openList(100);
    list.touch(a());
    vi.setSystemTime(Date.now() + 3_600_000);
    await vi.advanceTimersByTimeAsync(99);
    expect(expired).toEqual([]);
    vi.setSystemTime(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(expired).toEqual(["a"]);
  });

  it("leaves no timer when it is closed, and works on if it is touched after that", async () => {
    const { list, expired } = openList(100);
    list.touch(a());
    list.close();
    expect(vi.getTimerCount()).toBe(0);
    await vi.advanceTimersByTimeAsync(100);
    expect(expired).toEqual([]);
    list.touch(b());
    await vi.advanceTimersByTimeAsync(100);
    expect(expired).toEqual(["a", "b"]);
  });
});

describe("expiry lists for many durations", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });

  it("are one for each duration, shared by all that join it", async () => {
    const expired: string[] = [];
    const lists = new IdleLists<Item>((item) => expired.push(item.name));
    const [short, alsoShort, long] = [lists.join(100), lists.join(100), lists.join(200)];
    expect(alsoShort).toBe(short);
    expect(long).not.toBe(short);
    long.touch(a());
    short.touch(b());
    alsoShort.touch(c());
    expect(vi.getTimerCount()).toBe(2);
    await vi.advanceTimersByTimeAsync(200);
    expect(expired).toEqual(["b", "c", "a"]);
  });

  it("are there until the last one leaves, and leave no timer then", () => {
    const lists = new IdleLists<Item>(() => {});
    const list = lists.join(100);
    lists.join(100);
    list.touch(a());
    lists.leave(100);
    expect(lists.join(100)).toBe(list);
    lists.leave(100);
    expect(vi.getTimerCount()).toBe(1);
    lists.leave(100);
    expect(vi.getTimerCount()).toBe(0);
    expect(lists.join(100)).not.toBe(list);
  });

  it("ignore a leave without a join", () => {
    expect(() => new IdleLists<Item>(() => {}).leave(100)).not.toThrow();
  });
});

describe("an alarm", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });

  function openAlarm() {
    const rings: number[] = [];
    const start = performance.now();
    const alarm = new Alarm(() => rings.push(performance.now() - start));
    atEnd(() => alarm.cancel());
    return { alarm, rings, at: (ms: number) => start + ms };
  }

  it("rings once, at the earliest of the deadlines it was set for", async () => {
    const { alarm, rings, at } = openAlarm();
    alarm.setFor(at(300));
    alarm.setFor(at(100));
    alarm.setFor(at(200));
    expect(vi.getTimerCount()).toBe(1);
    await vi.advanceTimersByTimeAsync(1000);
    expect(rings).toEqual([100]);
  });

  it("can be set again when it has rung, also by what it rings", async () => {
    const rings: number[] = [];
    const start = performance.now();
    const alarm = new Alarm(() => {
      rings.push(performance.now() - start);
      if (rings.length < 3) alarm.setFor(performance.now() + 50);
    });
    alarm.setFor(start + 10);
    await vi.advanceTimersByTimeAsync(1000);
    expect(rings).toEqual([10, 60, 110]);
  });

  it("rings at once, but not within the call, for a deadline that has passed", async () => {
    const { alarm, rings, at } = openAlarm();
    alarm.setFor(at(-50));
    expect(rings).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(rings).toHaveLength(1);
  });

  it("does not ring when it was cancelled, and can be set for a later time then", async () => {
    const { alarm, rings, at } = openAlarm();
    alarm.setFor(at(100));
    alarm.cancel();
    expect(vi.getTimerCount()).toBe(0);
    alarm.setFor(at(500));
    await vi.advanceTimersByTimeAsync(1000);
    expect(rings).toEqual([500]);
  });

  it("sets no timer for Infinity", () => {
    const { alarm } = openAlarm();
    alarm.setFor(Number.POSITIVE_INFINITY);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("is right for a deadline beyond 2^31 ms, and can be cancelled after the first part of the way", async () => {
    const { alarm, rings, at } = openAlarm();
    alarm.setFor(at(2 ** 32));
    await vi.advanceTimersByTimeAsync(2 ** 32 - 1);
    expect(rings).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(rings).toEqual([2 ** 32]);
    alarm.setFor(at(2 ** 33));
    await vi.advanceTimersByTimeAsync(2 ** 31 + 1);
    alarm.cancel();
    expect(vi.getTimerCount()).toBe(0);
    await vi.advanceTimersByTimeAsync(2 ** 32);
    expect(rings).toHaveLength(1);
  });
});

describe("the real timer behind it", () => {
  it("never keeps the process alive, not even a part of a long one", () => {
    const set = vi.spyOn(globalThis, "setTimeout");
    atEnd(() => set.mockRestore());
    const { list } = openList(2 ** 40);
    list.touch(a());
    const timers = set.mock.results.map(({ value }) => value as NodeJS.Timeout);
    expect(timers.map((timer) => timer.hasRef())).toEqual([false]);
  });
});
