/**
 * How long a test waits for what it does not decide itself: another process, a browser, the network. It gives up when nothing has
 * happened for so long, however long the whole takes. "So long" is counted in ticks of a real timer, and a tick counts for less
 * the more the machine has to do. A machine that is slow, or stands still for a while, or gets its load later, only takes longer.
 */
import { availableParallelism, loadavg } from "node:os";

const { setTimeout, setInterval, clearInterval } = globalThis; // tests replace them
const tick = 20;
/** So long nothing may happen where the machine has nothing else to do, ms. */
const patience = 30_000;

/** How much more the machine has to do than it can do at once; at least 1. */
function load(): number {
  return Math.max(1, (loadavg()[0] ?? 0) / availableParallelism());
}

/** A time-out, ms, for what knows nothing else (Playwright, a child process): longer the more the machine has to do now. */
export function deadline(): number {
  return Math.round(patience * load());
}

/** To be called at every tick: whether `progress` has given the same for too long. */
function watch(progress: () => unknown): () => boolean {
  let before: unknown;
  let spent = 0;
  return () => {
    const now = progress();
    spent = now === before ? spent + tick / load() : 0;
    before = now;
    return spent >= patience;
  };
}

/** For a test that is nothing but {@link advancing}: it may take as long as it takes. */
export const whileItAdvances = { timeout: 0 };

/**
 * Gives what the work gives. Fails when the work goes on and `progress` has not changed for too long.
 * @param progress tells how far the work has come
 * @param isAt tells how things stand, for the message
 */
export function advancing<T>(work: Promise<T>, progress: () => unknown, isAt: () => string): Promise<T> {
  return new Promise((resolve, reject) => {
    const isStuck = watch(progress);
    const timer = setInterval(() => {
      if (!isStuck()) return;
      clearInterval(timer);
      reject(new Error(`Nothing has happened for too long: ${isAt()}`));
    }, tick);
    work.finally(() => clearInterval(timer)).then(resolve, reject);
  });
}

/**
 * Waits until it is so, and gives what `isSo` gave.
 * @param progress tells that things go on; when what `isSo` gives changes, they do
 */
export async function waitUntil<T>(
  isSo: () => T | Promise<T>,
  progress?: () => unknown,
): Promise<Exclude<T, false | null | undefined>> {
  let last = await isSo();
  const isStuck = watch(() => `${last} ${progress?.()}`);
  while (!last) {
    if (isStuck()) throw new Error(`Nothing has happened for too long, and it is not so: ${isSo}`);
    await new Promise((resolve) => setTimeout(resolve, tick));
    last = await isSo();
  }
  return last as Exclude<T, false | null | undefined>;
}
