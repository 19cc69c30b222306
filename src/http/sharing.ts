/**
 * An answer that sets a session cookie belongs to one client. Shared caches store it all the same where `Cache-Control` does not forbid
 * that (Apache's and HAProxy's do, cookie included), and the next visitor would get this one's session.
 */
import type { OutgoingHttpHeaders, ServerResponse } from "node:http";

/** What such an answer says, unless the application has forbidden sharing in its own words. */
const unshared = "private, no-store";

/** `private` and `no-store` for the whole answer; `private="set-cookie"` and `no-cache` let a cache store it. RFC 9111, 5.2.2. */
const forbidding = /(?:^|,)\s*(?:private|no-store)\s*(?:,|$)/i;

/** The `Cache-Control` of an answer that sets a session cookie, where the application has chosen `given`. */
export function unsharedCacheControl(given: unknown): string {
  const text = Array.isArray(given) ? given.join(",") : String(given ?? "");
  return forbidding.test(text) ? text : unshared;
}

type WriteHead = (status: number, ...rest: unknown[]) => ServerResponse;

/** Keeps caches from sharing a response of `node:http`, whatever the application still sets until its head is written. */
export function forbidSharing(response: ServerResponse): void {
  // An answer over HTTP/2 that has no body writes its head by another way.
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

/** Takes the field out of the headers that `writeHead` is given: an object, pairs, or names and values in turn. */
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
  return { headers: rest.flat(), value: found?.[1] }; // Node takes no pairs beside headers that were set before
}

function pairsOf(flat: readonly unknown[]): unknown[][] {
  const pairs: unknown[][] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) pairs.push([flat[i], flat[i + 1]]);
  return pairs;
}
