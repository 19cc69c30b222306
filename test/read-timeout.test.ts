/** A read that waits no longer than its time-out: a slow source does not hold back the first page. */
import { describe, expect, test, vi } from "vitest";
import { createDeferred } from "../src/base/async.js";
import { openHost, PushSource, turns } from "./support/control.js";

async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  await turns(3);
}

describe("getRequired with a timeout", () => {
  test("resolves with what there is when the time is up, and the next read goes on behind it", async () => {
    vi.useFakeTimers();
    const session = await openHost().get("ann");
    const source = new PushSource<number>();
    const runner = await session.createSequenceRunner(source);
    const settled = vi.fn();
    const reading = runner.getRequired({ advance: 5, timeout: 1000 });
    void reading.then(settled);
    source.push(1, 2);
    await pass(999);
    expect(settled).not.toHaveBeenCalled();
    await pass(1);
    expect(await reading).toEqual({ result: [1, 2], status: "stalled", position: 2 });
    source.push(3, 4, 5, 6, 7);
    expect((await runner.getRequired({ advance: 5, timeout: 1000 })).result).toEqual([3, 4, 5, 6, 7]);
    expect(vi.getTimerCount()).toBeLessThanOrEqual(3); // those of the session and of the runner
  });

  test("covers a source that is slow to open", async () => {
    vi.useFakeTimers();
    const session = await openHost().get("ann");
    const opening = createDeferred<Iterable<number>>();
    const runner = await session.createSequenceRunner(() => opening.promise, { start: "on-first-read" });
    const reading = runner.getRequired({ advance: 2, timeout: 500 });
    await pass(500);
    expect(await reading).toMatchObject({ result: [], position: 0 });
    opening.resolve([1, 2]);
    await turns(3);
    expect((await runner.getRequired({ advance: 2 })).result).toEqual([1, 2]);
  });

  test("0 takes only what is there; of a process it is the newest value", async () => {
    const session = await openHost().get("ann");
    const rows = await session.createSequenceRunner(new PushSource<number>());
    expect(await rows.getRequired({ advance: 5, timeout: 0 })).toMatchObject({ result: [] });
    const end = createDeferred<string>();
    const report = await session.createProcessRunner<string>(async (context) => {
      context.report("half");
      return end.promise;
    });
    await report.getRequired({ advance: 1 });
    expect(await report.getRequired({ start: 0, advance: 9, timeout: 0 })).toMatchObject({
      result: "half",
      position: 1,
    });
    end.resolve("done");
    await report.cleanup;
  });

  test.each([-1, Number.NaN, "1", null])("refuses %j", async (timeout) => {
    const session = await openHost().get("ann");
    const runner = await session.createSequenceRunner([1]);
    await expect(runner.getRequired({ timeout: timeout as number })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
  });
});
