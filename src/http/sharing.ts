/** Keeps shared caches from storing responses that set a session cookie. */
import type { OutgoingHttpHeaders, ServerResponse } from "node:http";

/** The default `Cache-Control` of such a response. */
const unshared = "private, no-store";

/**
 * Matches directives that forbid a shared cache to store the response. `private="set-cookie"` and `no-cache` still
 * allow it (RFC 9111, section 5.2.2).
 */
const forbidding = /(?:^|,)\s*(?:private|no-store)\s*(?:,|$)/i;

/**
 * The `Cache-Control` of a response that sets a session cookie. Without it, shared caches (those of Apache and
 * HAProxy, for example) may store the response with its cookie, and give one client's session to the next.
 * @param given the application's own value, which is kept if it forbids sharing
 */
export function unsharedCacheControl(given: unknown): string {
  const text = Array.isArray(given) ? given.join(",") : String(given ?? "");
  return forbidding.test(text) ? text : unshared;
}

/** The overloads of `writeHead` in one signature. */
type WriteHead = (status: number, ...rest: unknown[]) => ServerResponse;

/**
 * Makes a response of `node:http` unshareable. Checks again when the head is written, because the application may set
 * `Cache-Control` until then.
 */
export function forbidSharing(response: ServerResponse): void {
  // Also set now: a response over HTTP/2 without a body does not call `writeHead`.
  response.setHeader(name, unsharedCacheControl(response.getHeader(name)));
  const writeHead = response.writeHead as WriteHead;
  const checked: WriteHead = function (this: ServerResponse, status, ...rest) {
    this.writeHead = writeHead as never;
    const given = rest.findIndex((argument) => typeof argument === "object" && argument !== null);
    const { headers, value } = given < 0 ? { headers: undefined, value: undefined } : withoutCacheControl(rest[given]);
    this.setHeader(name, unsharedCacheControl(value ?? this.getHeader(name)));
    return writeHead.call(this, status, ...rest.map((argument, i) => (i === given ? headers : argument)));
  };
  response.writeHead = checked as never;
}

const name = "Cache-Control";

/** Takes `Cache-Control` out of the headers given to `writeHead`: an object, an array of pairs, or a flat array. */
function withoutCacheControl(headers: unknown): { headers: unknown; value: unknown } {
  const isName = (text: unknown) => String(text).toLowerCase() === "cache-control";
  if (!Array.isArray(headers)) {
    const entries = Object.entries(headers as OutgoingHttpHeaders);
    const found = entries.find(([key]) => isName(key));
    return { headers: Object.fromEntries(entries.filter(([key]) => !isName(key))), value: found?.[1] };
  }
  const pairs = Array.isArray(headers[0]) ? (headers as unknown[][]) : pairsOf(headers);
  const found = pairs.find(([key]) => isName(key));
  const rest = pairs.filter(([key]) => !isName(key));
  return { headers: rest.flat(), value: found?.[1] }; // flat: Node takes no pairs if headers were set before
}

/** Turns names and values in turn into pairs. */
function pairsOf(flat: readonly unknown[]): unknown[][] {
  const pairs: unknown[][] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) pairs.push([flat[i], flat[i + 1]]);
  return pairs;
}
