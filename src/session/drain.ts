import { noop, startTimer } from "../base/async.js";
import { checkDuration, checkOptions } from "../base/check.js";
import type { CleanupSummary } from "../base/dispose.js";
import type { CloseSummary, DrainOptions } from "./active-sessions.js";
import type { SessionCore } from "./session-core.js";
import type { GroupCore } from "./session-group.js";

/** The time for each phase, in ms. */
export interface DrainTimes {
  readonly grace: number;
  readonly finish: number;
  readonly timeout: number;
}

/**
 * Validates the options of a drain, and fills in the defaults.
 * @throws `INVALID_OPTION`
 */
export function resolveDrain(options: DrainOptions = {}): DrainTimes {
  const action = "close active sessions";
  checkOptions(action, options, ["grace", "finish", "timeout"]);
  const { grace = 0, finish = 0, timeout = 10_000 } = options;
  checkDuration(action, "grace", grace, true);
  checkDuration(action, "finish", finish, true);
  checkDuration(action, "timeout", timeout);
  return { grace, finish, timeout };
}

interface Deadlines {
  readonly grace: number;
  readonly finish: number;
  readonly end: number;
}

/**
 * The time that a drain may take.
 *
 *     grace: everything is served ──▶ finish: nothing new, work may end and be read ──▶ end: all is ended and cleaned up
 *
 * A phase is over when its time is up, or earlier when there is nothing left to wait for. A later call can only shorten it.
 */
export class Drain {
  /** The least that was allowed for each phase, in ms. */
  #times: DrainTimes;
  /** When each phase is over at the latest; monotonic clock, ms. */
  #until: Deadlines;
  /** Makes the present wait look again. */
  #wake: () => void = noop;

  constructor(times: DrainTimes) {
    this.#times = times;
    this.#until = deadlinesOf(times);
  }

  /** A phase begins, perhaps early: it may take its own time, and no more. */
  begin(phase: "finish" | "end"): void {
    const { finish, timeout } = this.#times;
    this.#limit(deadlinesOf({ grace: 0, finish: phase === "finish" ? finish : 0, timeout }));
  }

  /** Another call to close: what it allows counts from now on, where that is less. */
  shorten(times: DrainTimes): void {
    this.#times = {
      grace: Math.min(this.#times.grace, times.grace),
      finish: Math.min(this.#times.finish, times.finish),
      timeout: Math.min(this.#times.timeout, times.timeout),
    };
    this.#limit(deadlinesOf(times));
    this.#wake();
  }

  #limit({ grace, finish, end }: Deadlines): void {
    const { grace: first, finish: second, end: last } = this.#until;
    this.#until = { grace: Math.min(grace, first), finish: Math.min(finish, second), end: Math.min(end, last) };
  }

  /** Something has ended, or was seen: the wait may be over. */
  check(): void {
    this.#wake();
  }

  /** True if nothing is to be waited for. */
  isOver(phase: "grace" | "finish" | "end", isDone: () => boolean): boolean {
    return isDone() || performance.now() >= this.#until[phase];
  }

  /** Waits for the end of a phase. Keeps the process alive. Never rejects. */
  async wait(phase: "grace" | "finish" | "end", isDone: () => boolean): Promise<void> {
    while (!this.isOver(phase, isDone)) {
      await new Promise<void>((resolve) => {
        const cancel = startTimer(this.#until[phase] - performance.now(), () => this.#wake());
        this.#wake = () => {
          cancel();
          this.#wake = noop;
          resolve();
        };
      });
    }
  }
}

function deadlinesOf({ grace, finish, timeout }: DrainTimes): Deadlines {
  const now = performance.now();
  return { grace: now + grace, finish: now + grace + finish, end: now + grace + finish + timeout };
}

/**
 * Ends all sessions, then the groups: a group lasts as long as a session or a request holds it, and requests are not waited for.
 * Never rejects.
 * @param sessions live, or not cleaned up yet
 * @param groups asked for when the sessions have been cleaned up
 * @param drain says for how long
 */
export async function endAll(
  sessions: ReadonlySet<SessionCore>,
  groups: () => readonly GroupCore[],
  drain: Drain,
): Promise<Omit<CloseSummary, "interrupted">> {
  const errors: unknown[] = [];
  const unfinished = new Set<{ readonly id: string }>(sessions);
  let isDone = false;
  const waitFor = async (one: { readonly id: string }, cleanup: Promise<CleanupSummary>) => {
    const summary = await cleanup;
    errors.push(...summary.errors);
    if (!summary.timedOut) unfinished.delete(one);
  };
  const end = async () => {
    await Promise.all([...sessions].map((session) => waitFor(session, session.end("shutdown"))));
    const left = groups();
    for (const group of left) unfinished.add(group);
    await Promise.all(left.map((group) => waitFor(group, group.end())));
    isDone = true;
    drain.check();
  };
  void end();
  await drain.wait("end", () => isDone);
  return { sessions: sessions.size, unfinished: [...unfinished].map(({ id }) => id), errors: [...errors] };
}
