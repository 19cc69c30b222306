/**
 * Tracks the saving of the framework's session that identifies a client. Before that is saved, the client cannot come back to
 * its active session, so creations wait for `pending`. Several requests may save at the same time; one success is enough.
 *
 *     saved ──add──▶ pending ──one attempt succeeds──▶ saved
 *                      ▲ └──all attempts fail──▶ needed: the next request tries again
 *                      └──────────add──────────────┘
 */
export class PendingSave {
  /** All attempts since the last success, combined. Stays rejected until the next attempt, so that creations keep failing. */
  #pending: Promise<void> | undefined;
  /** See {@link isNeeded}. */
  #isNeeded = false;

  /** True if all attempts have failed, so that the next request has to try again. */
  get isNeeded(): boolean {
    return this.#isNeeded;
  }

  /** Adds an attempt, which may reject. Only the latest combination decides the state; older ones are part of it. */
  add(attempt: Promise<void>): void {
    const either = anyOf(this.#pending, attempt);
    this.#pending = either;
    this.#isNeeded = false;
    const isLatest = () => this.#pending === either;
    either.then(
      () => {
        if (isLatest()) this.#pending = undefined;
      },
      () => {
        if (isLatest()) this.#isNeeded = true;
      },
    );
  }

  /**
   * Resolves when the framework's session is saved; rejects with the latest attempt's error if all have failed.
   * `undefined` if there is nothing to wait for.
   */
  get pending(): Promise<void> | undefined {
    return this.#pending;
  }
}

/** Resolves with the first promise that resolves; if both reject, rejects like the second. */
async function anyOf(first: Promise<void> | undefined, second: Promise<void>): Promise<void> {
  if (!first) return second;
  try {
    await Promise.any([first, second]);
  } catch {
    await second;
  }
}
