/**
 * Whether a client can come back to a session that it is known to by something else, the framework's session: not before that is
 * saved. A request that saves it again begins anew; whichever of two saves succeeds is enough.
 *
 *     saved ──add──▶ pending ──one succeeds──▶ saved
 *                       └─────none does──────▶ needed: the next request tries again
 */
/** See the top of the file. */
export class PendingSave {
  #pending: Promise<void> | undefined;
  #isNeeded = false;

  /** None has succeeded; the next request has to try again. */
  get isNeeded(): boolean {
    return this.#isNeeded;
  }

  /** One more attempt. It may reject. */
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

  /** Resolves when the client can come back, rejects when the attempts have failed; `undefined` if there is nothing to wait for. */
  get pending(): Promise<void> | undefined {
    return this.#pending;
  }
}

/** Settles as the first of two that succeeds; as the second one, if none does. */
async function anyOf(first: Promise<void> | undefined, second: Promise<void>): Promise<void> {
  if (!first) return second;
  try {
    await Promise.any([first, second]);
  } catch {
    await second;
  }
}
