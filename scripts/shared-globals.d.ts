// What Node and browsers have in common and the shared code uses. `lib: ES2023` knows none of it, and the DOM's or
// Node's own types would let code slip in that only one side can run.
interface AbortSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: "abort", listener: () => void, options?: { once?: boolean }): void;
  removeEventListener(type: "abort", listener: () => void): void;
}
declare class AbortController {
  readonly signal: AbortSignal;
  abort(reason?: unknown): void;
}
declare function setTimeout(callback: () => void, delay: number): unknown;
declare function clearTimeout(timer: unknown): void;
declare class Response {
  constructor(body: string, init: { readonly status: number; readonly headers: Readonly<Record<string, string>> });
}
declare const performance: { now(): number };
