import { onAbort } from "../base/async.js";
import { ActiveSessionError, runnerGone } from "../base/error.js";
import type { RunnerCore } from "../runner/runner-core.js";

/** Identifies a creation that may be requested more than once. */
export interface Idempotency {
  /** The client's idempotency key, with the name of the definition it applies to. */
  readonly key: string;
  /** Represents the input. The same key with another fingerprint is an error. */
  readonly fingerprint: string;
}

/** The state of one key. */
interface Entry {
  /** The fingerprint of the creation; `undefined` if the key was stopped before a creation arrived. */
  readonly fingerprint?: string;
  /** The runner; `undefined` if it does not exist yet, or is removed. */
  runner?: RunnerCore | undefined;
  /** The pending creation. Cleared when it settles, so that the entry does not keep a removed runner in memory. */
  ready?: Promise<RunnerCore> | undefined;
  /** True if a stop was requested. */
  isStopped?: boolean;
}

/** How many finished keys are remembered: far more than one client can have requests in flight. */
const remembered = 256;

/**
 * The idempotent creations of one session. Under one key the session creates at most one runner, however often the client
 * repeats a request whose response was lost; and none if the client stops the key, regardless of which request arrives first.
 *
 *     unknown ──create──▶ created ──the runner is removed──▶ gone
 *        ▲ │                │
 *        │ │                └──its creation fails──▶ unknown, or stopped if a stop was requested meanwhile
 *        │ └──stop──▶ stopped: nothing will be created
 *        └── forgotten: only the latest 256 keys that are gone or stopped are remembered
 *
 * A creation counts as failed only after the clean-up of what it left behind. Until then, repeated requests wait for it.
 */
export class IdempotentCreations {
  /** In order of the first request for each key: the oldest finished ones are forgotten first. */
  readonly #entries = new Map<string, Entry>();

  /**
   * Creates a runner, or returns the one created before under the key.
   * @param make creates the runner; calls `onMade` as soon as the object exists, so that a stop can reach it during its start
   * @throws the error of `make`, `IDEMPOTENCY_KEY_REUSED`, `RUNNER_GONE`, `RUNNER_ABORTED` (the key was stopped before)
   */
  create(once: Idempotency, make: (onMade: (runner: RunnerCore) => void) => Promise<RunnerCore>): Promise<RunnerCore> {
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

  /**
   * The runner created, or being created, under the key. Rejects like {@link create}.
   * @returns `undefined` if the key is unknown or forgotten
   */
  find({ key, fingerprint }: Idempotency): Promise<RunnerCore> | undefined {
    const entry = this.#entries.get(key);
    return entry && runnerOf(entry, fingerprint);
  }

  /**
   * Stops the runner of the key. If there is none yet, a creation that arrives later fails with `RUNNER_ABORTED`.
   * @returns the runner, once it has been stopped; `undefined` if there is none yet
   * @throws `RUNNER_GONE` if the runner is removed
   */
  async stop(key: string): Promise<RunnerCore | undefined> {
    const entry = this.#entries.get(key);
    if (!entry) {
      this.#makeRoom();
      this.#entries.set(key, { isStopped: true });
      return undefined;
    }
    if (isOver(entry) && entry.fingerprint !== undefined) throw runnerGone();
    entry.isStopped = true;
    const { runner } = entry;
    await runner?.abortFor("stopped");
    return runner;
  }

  /**
   * Forgets the oldest finished keys beyond the limit. Keys with a runner or a pending creation are kept; the limits of runners
   * bound their number.
   */
  #makeRoom(): void {
    if (this.#entries.size < remembered) return;
    const over = [...this.#entries].filter(([, entry]) => isOver(entry));
    for (const [key] of over.slice(0, Math.max(0, over.length + 1 - remembered))) this.#entries.delete(key);
  }
}

/** True if there is no runner, and none is being created. */
function isOver({ runner, ready }: Entry): boolean {
  return !runner && !ready;
}

/** The runner of an entry, once its creation has settled. Checks in this order: stopped before, other input, removed. */
async function runnerOf(entry: Entry, fingerprint: string): Promise<RunnerCore> {
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
