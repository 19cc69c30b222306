import { describe, expect, test, vi } from "vitest";
import { turns } from "../../test/support/control.js";
import { disposeOf, isResource, mergeSummaries, runStep, runSteps } from "./dispose.js";

const never = new Promise<never>(() => {});

describe("isResource", () => {
  test("takes disposables of both kinds and functions", () => {
    expect(isResource({ [Symbol.dispose]() {} })).toBe(true);
    expect(isResource({ async [Symbol.asyncDispose]() {} })).toBe(true);
    expect(isResource(() => {})).toBe(true);
  });

  test.each([null, undefined, 1, "text", {}, []])("does not take %s", (value) => {
    expect(isResource(value)).toBe(false);
  });
});

describe("disposeOf", () => {
  test("calls a function and passes its result on", async () => {
    expect(await disposeOf(async () => "done")).toBe("done");
  });

  test("prefers asynchronous to synchronous disposal", async () => {
    const calls: string[] = [];
    await disposeOf({
      [Symbol.dispose]: () => void calls.push("sync"),
      [Symbol.asyncDispose]: async () => void calls.push("async"),
    });
    expect(calls).toEqual(["async"]);
  });

  test("disposes a synchronous disposable, as its own method", () => {
    const resource = {
      closed: false,
      [Symbol.dispose]() {
        this.closed = true;
      },
    };
    void disposeOf(resource);
    expect(resource.closed).toBe(true);
  });
});

describe("runStep", () => {
  test("turns what a step throws, and what it rejects with, into a summary", async () => {
    vi.useFakeTimers();
    const error = new Error("broken");
    const failing = () => {
      throw error;
    };
    expect(await runStep(failing, 100)).toEqual({ timedOut: false, errors: [error] });
    expect(await runStep(async () => failing(), 100)).toEqual({ timedOut: false, errors: [error] });
    expect(await runStep(() => 1, 100)).toEqual({ timedOut: false, errors: [] });
  });

  test("has no timer and no turn for a step that waits for nothing, and waits for whatever can be waited for", async () => {
    expect(runStep(() => 1, 100)).toEqual({ timedOut: false, errors: [] });
    // biome-ignore lint/suspicious/noThenProperty: a thenable is what this is about
    const withThen = (then: PropertyDescriptor) => Object.defineProperty({}, "then", then);
    const thenable = withThen({ value: (_: unknown, reject: (reason: unknown) => void) => reject("no") });
    expect(await runStep(() => thenable, 100)).toEqual({ timedOut: false, errors: ["no"] });
    const fail = () => {
      throw new Error("trap");
    };
    expect(await runStep(() => withThen({ get: fail }), 100)).toEqual({ timedOut: false, errors: [new Error("trap")] });
  });

  test("waits no longer than the time-out for a step that hangs", async () => {
    vi.useFakeTimers();
    const running = runStep(() => never, 100);
    vi.advanceTimersByTime(100);
    expect(await running).toEqual({ timedOut: true, errors: [] });
  });
});

describe("runSteps", () => {
  test("runs the steps one after the other and collects all errors", async () => {
    const calls: string[] = [];
    const summary = await runSteps(
      [
        async () => {
          calls.push("a begins");
          await turns();
          calls.push("a ends");
          throw new Error("a");
        },
        () => {
          calls.push("b");
          throw new Error("b");
        },
        () => calls.push("c"),
      ],
      Number.POSITIVE_INFINITY,
    );
    expect(calls).toEqual(["a begins", "a ends", "b", "c"]);
    expect(summary).toEqual({ timedOut: false, errors: [new Error("a"), new Error("b")] });
  });

  test("gives its summary at once where nothing has to be waited for", () => {
    const calls: string[] = [];
    const failing = () => {
      throw new Error("a");
    };
    expect(runSteps([failing, () => calls.push("b")], 100)).toEqual({ timedOut: false, errors: [new Error("a")] });
    expect(calls).toEqual(["b"]);
    expect(runSteps([], 100)).toEqual({ timedOut: false, errors: [] });
  });

  test("goes on to the next step when one hangs, each with a time of its own", async () => {
    vi.useFakeTimers();
    const last = vi.fn();
    const running = runSteps([() => never, () => never, last], 100);
    vi.advanceTimersByTime(100);
    await turns();
    expect(last).not.toHaveBeenCalled();
    vi.advanceTimersByTime(100);
    expect(await running).toEqual({ timedOut: true, errors: [] });
    expect(last).toHaveBeenCalledTimes(1);
  });
});

test("mergeSummaries keeps the errors in order and any overrun", () => {
  expect(mergeSummaries([])).toEqual({ timedOut: false, errors: [] });
  expect(
    mergeSummaries([
      { timedOut: false, errors: [1, 2] },
      { timedOut: true, errors: [] },
      { timedOut: false, errors: [3] },
    ]),
  ).toEqual({ timedOut: true, errors: [1, 2, 3] });
});
