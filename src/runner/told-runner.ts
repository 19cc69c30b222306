import type { ActiveSessionError } from "../base/error.js";
import type { ResultLog } from "../log/result-log.js";
import type { AbortReason, RunnerKind, RunnerPhase, RunnerProgress, RunnerStatus } from "../protocol/types.js";
import type { RunnerDefinition } from "./definition.js";
import type { RunnerParts } from "./runner-link.js";
import { phaseOf } from "./runner-state.js";
import type { RunnerId } from "./types.js";

/** What a runner tells of itself: its names, and the last known state of its log. */
export abstract class ToldRunner<R> {
  abstract readonly kind: RunnerKind;
  readonly #parts: RunnerParts<R>;
  /** Created at first use. */
  #key: string | undefined;

  constructor(parts: RunnerParts<R>) {
    this.#parts = parts;
  }

  /** No property of its own: what is printed of a runner has no internals. */
  protected get parts(): RunnerParts<R> {
    return this.#parts;
  }

  protected get log(): ResultLog<R> {
    return this.#parts.log;
  }

  get id(): RunnerId {
    const { number } = this;
    const { sessionId, generation } = this.#parts.owner;
    return { sessionId, generation, number, toString: () => `${sessionId}:${generation}#${number}` };
  }

  get key(): string {
    const { owner, settings } = this.#parts;
    this.#key ??= `${settings.number}-${owner.generation}-${owner.sessionId}`;
    return this.#key;
  }

  get number(): number {
    return this.#parts.settings.number;
  }

  get definition(): RunnerDefinition | undefined {
    return this.#parts.settings.definition;
  }

  get label(): string | undefined {
    return this.#parts.settings.label;
  }

  get status(): RunnerStatus {
    return this.log.status;
  }

  get phase(): RunnerPhase {
    return phaseOf(this.log.current);
  }

  get position(): number {
    return this.log.current.position;
  }

  get progress(): RunnerProgress {
    return this.log.current.progress;
  }

  get error(): ActiveSessionError | undefined {
    const { status, failure } = this.log.current;
    return status === "failed" ? failure : undefined;
  }

  get abortReason(): AbortReason | undefined {
    const { status, abortReason } = this.log.current;
    return status === "aborted" ? abortReason : undefined;
  }
}
