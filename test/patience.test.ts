/** What the tests wait with themselves; here its timers are faked, and the load of the machine is what the test says. */
import { loadavg } from "node:os";
import { expect, test, vi } from "vitest";
import { createDeferred } from "../src/base/async.js";

vi.mock("node:os", async (original) => ({
  ...(await original<typeof import("node:os")>()),
  loadavg: vi.fn(() => [0, 0, 0]),
  availableParallelism: () => 2,
}));

/** The module as it is where it finds faked timers. */
async function withFakedTimers(load = 0): Promise<typeof import("./support/patience.js")> {
  vi.mocked(loadavg).mockReturnValue([load, 0, 0]);
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] });
  vi.resetModules();
  return import("./support/patience.js");
}

const pass = (seconds: number) => vi.advanceTimersByTimeAsync(seconds * 1000);

test("a wait ends when it is so, however long that takes while things go on", async () => {
  const { waitUntil } = await withFakedTimers();
  let steps = 0;
  const waiting = waitUntil(
    () => steps === 10 && "done",
    () => steps,
  );
  for (let i = 0; i < 10; i++) {
    await pass(29);
    steps++;
  }
  await pass(1);
  expect(await waiting).toBe("done");
});

test("a wait fails when nothing has happened for half a minute, and says what it waited for", async () => {
  const { waitUntil } = await withFakedTimers();
  const waiting = waitUntil(() => Number.isNaN(0));
  const failed = expect(waiting).rejects.toThrow(/Nothing has happened.*isNaN\(0\)/);
  await pass(31);
  await failed;
});

test("work that advances may take as long as it takes; what it fails with is told, and no timer is left", async () => {
  const { advancing } = await withFakedTimers();
  const work = createDeferred<string>();
  let steps = 0;
  const result = advancing(
    work.promise,
    () => steps,
    () => "",
  );
  const failed = expect(result).rejects.toThrow("broken");
  for (; steps < 10; steps++) await pass(29);
  work.reject(new Error("broken"));
  await failed;
  expect(vi.getTimerCount()).toBe(0);
});

test("work that does not advance fails, and says where it is", async () => {
  const { advancing } = await withFakedTimers();
  const result = advancing(
    new Promise(() => {}),
    () => 3,
    () => "step 3",
  );
  const failed = expect(result).rejects.toThrow("Nothing has happened for too long: step 3");
  await pass(31);
  await failed;
  expect(vi.getTimerCount()).toBe(0);
});

test("under a load of ten for each core both wait ten times as long, also when it begins later", async () => {
  const { deadline, waitUntil } = await withFakedTimers();
  expect(deadline()).toBe(30_000);
  let isOver = false;
  const failed = expect(waitUntil(() => false).finally(() => (isOver = true))).rejects.toThrow();
  await pass(15);
  vi.mocked(loadavg).mockReturnValue([20, 0, 0]);
  expect(deadline()).toBe(300_000);
  await pass(145);
  expect(isOver).toBe(false);
  await pass(10);
  await failed;
});
