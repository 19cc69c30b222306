/**
 * Random interleavings of everything that can be done to a runner, against a model that is simple enough to be believed: it
 * computes where things stand once the loop has come to rest, by the rules of reading (design: a read's slice, acknowledgement,
 * back-pressure, status, abort). A failure names its seed, `MODEL_SEED=…` repeats it; `MODEL_RUNS=…` changes how many there are.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Runner, RunnerResult } from "../src/index.js";
import { openHost, PushSource, turns } from "./support/control.js";
import { assertAll } from "./support/fuzz.js";
import { whileItAdvances } from "./support/patience.js";

const seed = Number(process.env.MODEL_SEED ?? Math.floor(Math.random() * 2 ** 31));
const numRuns = Number(process.env.MODEL_RUNS ?? 10_000);
/** After so many turns of the loop nothing moves any more. */
const atRest = 8;

type Outcome = "completed" | "failed" | "aborted";
type Answer = { result: unknown; status: string; position: number } | { code: string } | "cancelled";

/** A read as the model sees it. */
interface ModelRead {
  readonly id: number;
  readonly start: number;
  readonly advance: number;
  readonly byDefault: boolean;
}

/** What is done next. `read` numbers the reads in order, for `cancel`. */
type Step =
  | { readonly do: "produce"; readonly count: number }
  | { readonly do: "available" | "required"; readonly start?: number; readonly advance?: number }
  | { readonly do: "cancel"; readonly read: number }
  | { readonly do: "end" | "fail" | "abort" | "dispose" };

const position = fc.integer({ min: 0, max: 12 });
const read = (kind: "available" | "required") =>
  fc.record({ start: fc.option(position), advance: fc.option(fc.integer({ min: 1, max: 6 })) }).map(
    ({ start, advance }): Step => ({
      do: kind,
      ...(start !== null && { start }),
      ...(advance !== null && { advance }),
    }),
  );
const steps = fc.array(
  fc.oneof(
    { weight: 50, arbitrary: fc.integer({ min: 1, max: 4 }).map((count): Step => ({ do: "produce", count })) },
    { weight: 30, arbitrary: read("available") },
    { weight: 50, arbitrary: read("required") },
    { weight: 20, arbitrary: fc.nat({ max: 5 }).map((index): Step => ({ do: "cancel", read: index })) },
    { weight: 10, arbitrary: fc.constantFrom<Step>({ do: "end" }, { do: "fail" }, { do: "abort" }) },
    { weight: 3, arbitrary: fc.constant<Step>({ do: "dispose" }) },
  ),
  { minLength: 1, maxLength: 14 },
);

/** What both models have alike: the reads that wait, and the answers that are due. */
abstract class Model {
  readonly answers = new Map<number, Answer>();
  pending: ModelRead[] = [];
  outcome: Outcome | undefined;
  final: Outcome | undefined;
  position = 0;
  isDisposed = false;

  cancel(id: number): void {
    if (!this.pending.some((one) => one.id === id)) return;
    this.pending = this.pending.filter((one) => one.id !== id);
    this.answers.set(id, "cancelled");
    this.rest();
  }

  dispose(): void {
    this.abort();
    this.isDisposed = true;
  }

  abstract abort(): void;
  abstract rest(): void;
}

class SequenceModel extends Model {
  /** Items the source has given, and items that lie in the log. */
  pushed = 0;
  progress = 0;
  first = 0;
  received = 0;
  acknowledged = 0;
  formerProgress = 0;
  sourceEnd: "completed" | "failed" | undefined;

  constructor(
    readonly aheadLimit: number,
    readonly retain: number,
  ) {
    super();
  }

  produce(count: number): void {
    if (!this.sourceEnd) this.pushed += count;
    this.rest();
  }

  endSource(how: "completed" | "failed"): void {
    this.sourceEnd ??= how;
    this.rest();
  }

  read(id: number, kind: "available" | "required", start: number | undefined, advance: number | undefined): void {
    const code = this.refusal(start);
    if (code) {
      this.answers.set(id, { code });
      return;
    }
    const from = Math.min(start ?? this.position, this.progress);
    if (!this.final) this.position = Math.max(this.position, from);
    this.received = Math.max(this.received, from);
    this.acknowledge();
    const most = advance ?? (kind === "required" ? 5 : Number.POSITIVE_INFINITY);
    const one = { id, start: from, advance: most, byDefault: start === undefined };
    this.pending.push(one);
    this.rest(kind === "available" ? one : undefined);
  }

  refusal(start: number | undefined): string | undefined {
    if (this.isDisposed) return "RUNNER_GONE";
    if (start === undefined && this.pending.some(({ byDefault }) => byDefault)) return "READ_CONFLICT";
    const from = start ?? this.position;
    const isCutOff = this.final === "aborted" && from <= this.formerProgress;
    if (from > this.progress && !isCutOff) return "POSITION_AHEAD";
    return Math.min(from, this.progress) < this.first ? "POSITION_GONE" : undefined;
  }

  /** Until nothing moves: the source gives what there is room for, reads get what they wait for, which makes room. */
  rest(immediate?: ModelRead): void {
    for (let moved = true; moved; ) {
      moved = false;
      const bound = Math.max(
        this.acknowledged + this.aheadLimit,
        ...this.pending.filter((one) => one !== immediate).map(({ start, advance }) => start + advance),
      );
      if (!this.outcome) {
        const reached = Math.max(this.progress, Math.min(this.pushed, bound));
        moved = reached > this.progress;
        this.progress = reached;
        if (this.sourceEnd && this.progress === this.pushed) {
          this.outcome = this.sourceEnd;
          moved = true;
        }
      }
      // A read of just what there is waits for a turn, in which other reads may make room for more.
      const canWait = ({ start, advance }: ModelRead) => !this.outcome && start + advance >= this.progress;
      const isRipe = (one: ModelRead) => one === immediate || this.outcome || one.start + one.advance <= this.progress;
      const ripe = this.pending.filter(isRipe);
      const urgent = ripe.filter((one) => !canWait(one));
      const due = moved || urgent.length > 0 ? urgent : ripe;
      this.pending = this.pending.filter((one) => !due.includes(one));
      for (const one of due) this.settle(one);
      this.acknowledge();
      if (this.outcome && this.position === this.progress) this.final ??= this.outcome;
      moved ||= due.length > 0;
    }
  }

  settle({ id, start, advance }: ModelRead): void {
    const end = Math.max(start, Math.min(start + advance, this.progress));
    if (!this.final) this.position = Math.max(this.position, end);
    this.answers.set(id, { result: range(start, end), position: end, status: this.statusAt(end) });
  }

  statusAt(end: number): string {
    if (end < this.progress) return "progressed";
    return this.outcome ?? "stalled";
  }

  acknowledge(): void {
    const starts = this.pending.map(({ start }) => start);
    const limit = Math.min(this.received, ...starts);
    if (limit <= this.acknowledged) return;
    this.acknowledged = limit;
    this.first = Math.max(this.first, limit - this.retain);
  }

  abort(): void {
    if (this.final) return;
    this.formerProgress = this.progress;
    const waiting = this.pending;
    this.pending = [];
    const ends = waiting.map(({ start, advance }) => Math.max(start, Math.min(start + advance, this.progress)));
    const cut = Math.max(this.position, ...waiting.map(({ start }, i) => (ends[i]! > start ? ends[i]! : 0)));
    this.outcome = this.final = "aborted";
    this.progress = this.position = cut;
    for (const [i, { id, start }] of waiting.entries()) {
      const end = Math.min(ends[i]!, Math.max(cut, start));
      this.answers.set(id, { result: range(start, end), position: end, status: this.statusAt(end) });
    }
    this.acknowledge();
  }
}

class ProcessModel extends Model {
  reported = 0;
  value: number | undefined;

  produce(count: number): void {
    for (let i = 0; i < count && !this.outcome; i++) {
      this.value = this.reported++;
      this.rest();
    }
  }

  endBody(how: "completed" | "failed"): void {
    if (this.outcome) return;
    if (how === "completed") this.value = this.reported++;
    this.outcome = how;
    this.rest();
  }

  read(id: number, kind: "available" | "required", start: number | undefined, advance: number | undefined): void {
    if (this.isDisposed) {
      this.answers.set(id, { code: "RUNNER_GONE" });
      return;
    }
    const most = advance ?? (kind === "required" ? 1 : Number.POSITIVE_INFINITY);
    const one = { id, start: start ?? this.position, advance: most, byDefault: start === undefined };
    if (kind === "available") this.settle(one);
    else this.pending.push(one);
    this.rest();
  }

  rest(): void {
    const due = this.pending.filter(({ start, advance }) => this.outcome || start + advance <= this.reported);
    this.pending = this.pending.filter((one) => !due.includes(one));
    for (const one of due) this.settle(one);
    if (this.outcome && this.position === this.reported) this.final ??= this.outcome;
  }

  settle({ id, start, advance }: ModelRead): void {
    const end = this.final === "aborted" ? this.reported : Math.min(this.reported, start + advance);
    if (!this.final) this.position = Math.max(this.position, end);
    const status = end < this.reported ? "progressed" : (this.outcome ?? "stalled");
    this.answers.set(id, { result: this.value, position: end, status });
    if (this.outcome && this.position === this.reported) this.final ??= this.outcome;
  }

  abort(): void {
    if (this.final) return;
    this.outcome = this.final = "aborted";
    this.position = this.reported;
    this.rest();
  }
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);
}

/** Does the same to a runner and to the model, and compares after every step: answers, status, position, progress. */
async function compare(
  runner: Runner,
  model: SequenceModel | ProcessModel,
  script: readonly Step[],
  source: { produce(count: number): void; end(): void; fail(): void },
): Promise<void> {
  const answers = new Map<number, Answer>();
  const cancels: AbortController[] = [];
  for (const step of script) {
    switch (step.do) {
      case "produce":
        source.produce(step.count);
        model.produce(step.count);
        break;
      case "available":
      case "required": {
        const id = cancels.push(new AbortController()) - 1;
        const { start, advance } = step;
        const options = { ...(start !== undefined && { start }), ...(advance !== undefined && { advance }) };
        const { signal } = cancels[id]!;
        const reading =
          step.do === "required" ? runner.getRequired({ ...options, signal }) : runner.getAvailable(options);
        reading.then(
          (result) => answers.set(id, plain(result)),
          (error) => answers.set(id, error === signal.reason ? "cancelled" : { code: error.code }),
        );
        model.read(id, step.do, start, advance);
        break;
      }
      case "cancel":
        cancels[step.read]?.abort(new Error("cancelled"));
        model.cancel(step.read);
        break;
      case "end":
      case "fail":
        source[step.do]();
        if (model instanceof SequenceModel) model.endSource(step.do === "end" ? "completed" : "failed");
        else model.endBody(step.do === "end" ? "completed" : "failed");
        break;
      case "abort":
        await runner.abort();
        model.abort();
        break;
      case "dispose":
        void runner[Symbol.asyncDispose]();
        model.dispose();
    }
    await turns(atRest);
    expect(Object.fromEntries(answers), JSON.stringify(step)).toEqual(Object.fromEntries(model.answers));
    const progress = model instanceof SequenceModel ? model.progress : model.reported;
    const status = model.final ?? (model.position < progress ? "progressed" : (model.outcome ?? "stalled"));
    const state = await runner.state();
    expect([state.status, state.position, state.progress.current], JSON.stringify(step)).toEqual([
      ...[status, model.position, progress],
    ]);
  }
}

function plain({ result, status, position: end }: RunnerResult<unknown>): Answer {
  return { result, status, position: end };
}

test("a sequence does what the model says, whatever is done to it in whatever order", whileItAdvances, async () => {
  const session = await openHost({ maxLifetime: Number.POSITIVE_INFINITY }).get("model");
  const limits = fc.record({ aheadLimit: fc.integer({ min: 1, max: 8 }), keep: fc.integer({ min: -1, max: 3 }) });
  const property = fc.asyncProperty(steps, limits, async (script, { aheadLimit, keep }) => {
    const source = new PushSource<number>();
    let next = 0;
    let hasEnded = false;
    const runner = await session.createSequenceRunner(source, {
      ...{ aheadLimit, defaultAdvance: 5 },
      retain: keep < 0 ? "all" : keep,
    });
    await compare(runner, new SequenceModel(aheadLimit, keep < 0 ? Number.POSITIVE_INFINITY : keep), script, {
      produce: (count) => {
        if (!hasEnded) for (let i = 0; i < count; i++) source.push(next++);
      },
      end: () => {
        if (!hasEnded) source.end();
        hasEnded = true;
      },
      fail: () => {
        if (!hasEnded) source.fail(new Error("failed"));
        hasEnded = true;
      },
    });
    await runner[Symbol.asyncDispose]();
  });
  await assertAll(property, { seed, numRuns });
});

test("a process does what the model says, whatever is done to it in whatever order", whileItAdvances, async () => {
  const session = await openHost({ maxLifetime: Number.POSITIVE_INFINITY }).get("model");
  const property = fc.asyncProperty(steps, async (script) => {
    let count = 0;
    let act!: { report(value: number): void; end(value: number): void; fail(): void };
    const runner = await session.createProcessRunner<number>(({ report, signal }) => {
      return new Promise((resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
        act = { report, end: resolve, fail: () => reject(new Error("failed")) };
      });
    });
    let isOver = false;
    await compare(runner, new ProcessModel(), script, {
      produce: (times) => {
        for (let i = 0; i < times && !isOver && !runner.signal.aborted; i++) act.report(count++);
      },
      end: () => {
        if (!isOver) act.end(count);
        isOver = true;
      },
      fail: () => {
        if (!isOver) act.fail();
        isOver = true;
      },
    });
    act.end(count);
    await runner[Symbol.asyncDispose]();
  });
  await assertAll(property, { seed, numRuns });
});
