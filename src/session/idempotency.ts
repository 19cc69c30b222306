/**
 * IdempotentCreations that may be asked for more than once. Under one idempotency key a session makes one runner, however often its
 * client repeats a request whose answer was lost, and none once the client has stopped it, whichever request arrives first.
 *
 *     unknown ──create──▶ made ──the runner is removed──▶ gone
 *        ▲ │                │
 *        │ │                └─ its creation fails ─▶ unknown, or stopped if that was asked for meanwhile
 *        │ └──stop──▶ stopped: nothing will be created
 *        └── forgotten: of those that are gone or stopped, only so many are remembered
 *
 * A creation that fails has failed only when what it made is cleaned up; until then it is asked for, and waited for, like any.
 */
import { onAbort } from "../base/async.js";
import { ActiveSessionError, runnerGone } from "../base/error.js";
import type { Runner } from "../runner/runner.js";

/** What a creation is known by. */
export interface Idempotency {
  /** The client's own. */
  readonly key: string;
  /** Stands for what was asked for: the same key with another one is a mistake. */
  readonly fingerprint: string;
}

interface Entry {
  /** Of what is (being) created; `undefined`: it was stopped before. */
  readonly fingerprint?: string;
  /** `undefined` when it is gone, or there is none yet. */
  runner?: Runner | undefined;
  /** Only while the creation is not over, so that what is gone is not held. */
  ready?: Promise<Runner> | undefined;
  isStopped?: boolean;
}

/** So many that are over are remembered: far more than requests can be on their way. */
const remembered = 256;

/** See the top of the file. */
export class IdempotentCreations {
  readonly #entries = new Map<string, Entry>();

  /**
   * Makes a runner, or gives the one that was made before under the key. `make` calls back as soon as there is one.
   * @throws what `make` throws, `IDEMPOTENCY_KEY_REUSED`, `RUNNER_GONE`, `RUNNER_ABORTED`
   */
  create(once: Idempotency, make: (onMade: (runner: Runner) => void) => Promise<Runner>): Promise<Runner> {
    const found = this.find(once);
    if (found !== undefined) return found;
    this.#makeRoom();
    const { key, fingerprint } = once;
    const entry: Entry = { fingerprint };
    this.#entries.set(key, entry);
    const ready = make((runner) => {
      entry.runner = runner;
      onAbort(runner.removal, () => {
        entry.runner = undefined;
      });
    })
      .catch((error: unknown) => {
        if (entry.isStopped) this.#entries.set(key, { isStopped: true });
        else this.#entries.delete(key);
        throw error;
      })
      .finally(() => {
        entry.ready = undefined;
      });
    entry.ready = ready;
    return ready;
  }

  /** What was made under the key; `undefined` if nothing has been asked for yet. Rejects as {@link create}. */
  find({ key, fingerprint }: Idempotency): Promise<Runner> | undefined {
    const entry = this.#entries.get(key);
    return entry && runnerOf(entry, fingerprint);
  }

  /**
   * Stops what was made under the key, or sees to it that nothing will be.
   * @returns the runner; `undefined` if there is none yet
   * @throws `RUNNER_GONE`
   */
  stop(key: string): Runner | undefined {
    const entry = this.#entries.get(key);
    if (!entry) {
      this.#makeRoom();
      this.#entries.set(key, { isStopped: true });
      return undefined;
    }
    if (isOver(entry) && entry.fingerprint !== undefined) throw runnerGone();
    entry.isStopped = true;
    entry.runner?.abortFor("stopped");
    return entry.runner;
  }

  /** Of those that are over the oldest go when there are too many; how many have a runner, the limits of runners bound. */
  #makeRoom(): void {
    if (this.#entries.size < remembered) return;
    const over = [...this.#entries].filter(([, entry]) => isOver(entry));
    for (const [key] of over.slice(0, Math.max(0, over.length + 1 - remembered))) this.#entries.delete(key);
  }
}

/** Whether there is no runner and will be none. */
function isOver({ runner, ready }: Entry): boolean {
  return !runner && !ready;
}

async function runnerOf(entry: Entry, fingerprint: string): Promise<Runner> {
  const action = "create a runner";
  if (entry.fingerprint === undefined) {
    const requirement = "it must not have been stopped";
    throw new ActiveSessionError("RUNNER_ABORTED", `Cannot ${action}: ${requirement}, received its stop before`);
  }
  if (entry.fingerprint !== fingerprint) {
    const requirement = "an idempotency key must stand for one input";
    throw new ActiveSessionError("IDEMPOTENCY_KEY_REUSED", `Cannot ${action}: ${requirement}, received another one`);
  }
  await entry.ready;
  if (!entry.runner) throw runnerGone();
  return entry.runner;
}
