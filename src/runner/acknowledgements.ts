import { ActiveSessionError } from "../base/error.js";
import type { ResultLog } from "../log/result-log.js";

/** What a client says beside the position. */
export interface Acknowledgement {
  /** The response that it names, as the one that has brought it this far. */
  readonly response?: string | undefined;
  /** It has seen that the work has ended there. */
  readonly closed?: boolean | undefined;
}

/** Gets the position, and the id of the response that the client has named, if any. Must not throw. */
export type AcknowledgementCallback = (position: number, response: string | undefined) => void;

/** Acknowledgements by clients, on whatever connection they come. */
export class Acknowledgements {
  readonly #log: Pick<ResultLog<unknown>, "acknowledge" | "state">;
  readonly #callbacks = new Set<AcknowledgementCallback>();

  constructor(log: Pick<ResultLog<unknown>, "acknowledge" | "state">) {
    this.#log = log;
  }

  /**
   * Acknowledges everything before `position`, and tells those who follow.
   * @throws `POSITION_AHEAD` if the position has not been handed out, or, with `closed`, if the work has not ended there
   */
  async acknowledge(position: number, { response, closed }: Acknowledgement = {}): Promise<void> {
    if (closed) await this.#checkEndAt(position);
    await this.#log.acknowledge(position);
    for (const tell of [...this.#callbacks]) tell(position, response);
  }

  async #checkEndAt(position: number): Promise<void> {
    const { ended, progress } = await this.#log.state();
    if (ended && progress.current === position) return;
    throw new ActiveSessionError(
      "POSITION_AHEAD",
      `Cannot acknowledge the end: the work must have ended at the position, received ${position}`,
    );
  }

  /**
   * Calls back after each acknowledgement.
   * @returns removes the callback
   */
  onEach(callback: AcknowledgementCallback): () => void {
    this.#callbacks.add(callback);
    return () => this.#callbacks.delete(callback);
  }
}
