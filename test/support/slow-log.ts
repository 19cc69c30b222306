/**
 * Logs as they would be on another host: each answers a macrotask later, its getters tell what the latest answer said, and
 * so do its events of the end. What it is asked to do, it does at once and in order.
 */
import type { LogFactory } from "../../src/log/log-factory.js";
import {
  type AbortResult,
  type ItemTally,
  isPending,
  type LogEvents,
  type LogState,
  type PendingRead,
  type ReadRequest,
  type ResultLog,
  type Slice,
} from "../../src/log/result-log.js";
import type { DefaultPosition } from "../../src/log/waiting-reads.js";
import type { AbortReason, FinalStatus, RunnerStatus } from "../../src/protocol/types.js";

/** Makes the logs of another factory slow. */
export function slowLogs(logs: LogFactory): LogFactory {
  return {
    sequence(options, events, tally) {
      const late = new LateEvents(events);
      const { log, sink } = logs.sequence<never>(options, late, tally);
      return { log: new SlowLog(log, late), sink } as never;
    },
    value(events) {
      const late = new LateEvents(events);
      const { log, sink } = logs.value<never>(late);
      return { log: new SlowLog(log, late), sink } as never;
    },
  };
}

/** What is said of the work comes from the producer, on this host; that the status is final comes from the log. */
class LateEvents implements LogEvents {
  readonly #events: LogEvents;
  onState: (state: LogState) => void = () => {};

  constructor(events: LogEvents) {
    this.#events = events;
  }

  onStarted(): void {
    this.#events.onStarted?.();
  }

  onOverflow(error: Parameters<NonNullable<LogEvents["onOverflow"]>>[0]): void {
    this.#events.onOverflow?.(error);
  }

  onEnded(outcome: FinalStatus): void {
    this.#events.onEnded?.(outcome);
  }

  onFinal(state: LogState): void {
    setImmediate(() => {
      this.onState(state);
      this.#events.onFinal(state);
    });
  }
}

/** Settles as the promise does, a macrotask later. */
function late<T>(promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    promise.then(
      (value) => setImmediate(() => resolve(value)),
      (error) => setImmediate(() => reject(error)),
    );
  });
}

class SlowLog<R> implements ResultLog<R> {
  readonly #log: ResultLog<R>;
  current: LogState;

  constructor(log: ResultLog<R>, events: LateEvents) {
    this.#log = log;
    this.current = log.current;
    events.onState = (state) => this.#learn(state);
  }

  get status(): RunnerStatus {
    return this.current.status;
  }

  get size(): number {
    return this.#log.size;
  }

  async state(): Promise<LogState> {
    const state = await late(this.#log.state());
    this.#learn(state);
    return state;
  }

  read(request: ReadRequest): PendingRead<R> {
    // Of a log in memory: protected there, since only its own reads use it.
    const { handedOut: position = {} } = this.#log as { readonly handedOut?: DefaultPosition<R> };
    const isAtTail = request.start === "tail";
    return new SlowRead(
      () => this.#log.read(request),
      request.start === undefined ? position : {},
      (slice) => this.#learnFrom(slice, isAtTail),
    );
  }

  async acknowledge(position: number): Promise<void> {
    await late(this.#log.acknowledge(position));
  }

  countIn(tally: ItemTally): void {
    this.#log.countIn(tally);
  }

  discard(): void {
    this.#log.discard();
  }

  async abort(reason: AbortReason): Promise<AbortResult> {
    const result = await late(Promise.resolve(this.#log.abort(reason)));
    this.#learn(result.state);
    return result;
  }

  /** What a slice says of the whole log; an empty one at the tail does not move it. */
  #learnFrom(slice: Slice<R>, isAtTail: boolean): void {
    const { progress, firstPosition, acknowledged, paused, outcome, abortReason, error, status, closed } = slice;
    const isEmptyTail = isAtTail && slice.position === slice.start;
    const position = isEmptyTail ? this.current.position : Math.max(this.current.position, slice.position);
    const started = this.current.started || status !== "not-started";
    const unread = position < progress.current ? "progressed" : (outcome ?? (started ? "stalled" : "not-started"));
    this.#learn({
      ...{ progress, firstPosition, acknowledged, paused, position, started, ended: outcome !== undefined },
      ...(outcome && { outcome }),
      ...(abortReason && { abortReason }),
      ...(error && { failure: error }),
      status: closed && !isEmptyTail ? status : unread,
    });
  }

  /** A final status stays, whatever order answers come in. */
  #learn(state: LogState): void {
    const { status } = this.current;
    const isFinal = status === "completed" || status === "failed" || status === "aborted";
    this.current = isFinal ? { ...state, status } : state;
  }
}

class SlowRead<R> implements PendingRead<R> {
  readonly settled: Promise<Slice<R>>;
  readonly #position: Partial<DefaultPosition<R>>;
  #read: PendingRead<R> | undefined;
  /** True while a slice is on its way, or is there and has not been taken. */
  #isKept = false;
  #undone: { readonly reason: unknown } | undefined;

  constructor(
    begin: () => Slice<R> | PendingRead<R>,
    position: Partial<DefaultPosition<R>>,
    learn: (slice: Slice<R>) => void,
  ) {
    this.#position = position;
    const answer = async () => {
      const slice = await late(this.#answer(begin));
      learn(slice);
      if (this.#undone) throw this.#undone.reason;
      return slice;
    };
    this.settled = answer();
  }

  /** The answer of the log: from then on the default position is kept until it is taken here. */
  async #answer(begin: () => Slice<R> | PendingRead<R>): Promise<Slice<R>> {
    const read = begin();
    if (!isPending(read)) return this.#keep(read);
    this.#read = read;
    const slice = await read.settled;
    read.take();
    return this.#keep(slice);
  }

  #keep(slice: Slice<R>): Slice<R> {
    this.#isKept = true;
    this.#position.keep?.(this);
    return slice;
  }

  take(): void {
    if (this.#undone) throw this.#undone.reason;
    this.#free();
  }

  cancel(reason: unknown): void {
    if (!this.#isKept) this.#read?.cancel(reason);
    else if (this.#position.giveBack?.(this)) {
      this.#undone = { reason };
      this.#free();
    }
  }

  giveUp(): void {
    this.#read?.giveUp();
  }

  #free(): void {
    this.#isKept = false;
    this.#position.free?.(this);
  }
}
