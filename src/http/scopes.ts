/**
 * Which requests have a session, and which one: an application may give several sessions to one client, told apart by suffix.
 *
 * The scopes are looked at in their order. A request has a session if one of them accepts it. Its suffix is the one of the
 * first accepting scope that supplies one; the empty text supplies "none". An accepting scope without a suffix does not end
 * the search, unless none of those that are left could supply one. A scope that fails does not accept, and is reported.
 */
import { checkFunction, checkOptions } from "../base/check.js";
import { ActiveSessionError, describe } from "../base/error.js";
import { checkSuffix } from "../session/identity.js";

/** One scope. */
export interface Scope<Request> {
  /**
   * Which requests: a path (`/shop` for itself and everything below; `*` for any one segment), a regular expression on the
   * decoded path, or a function of the request, which may be async: `true`, or a text, which then is the suffix, accepts.
   */
  readonly when: string | RegExp | ((request: Request) => unknown);
  /** The suffix of the session: 1 to 64 letters, digits, `_` or `-`; the empty text for none. */
  readonly suffix?: string | undefined;
}

/** What the scopes have come to. `undefined`: the request has no session. */
export type Selection = { readonly suffix: string | undefined } | undefined;

/** Finds out what the scopes say of a request. Never rejects. */
export type ScopeSelector<Request> = (
  request: Request,
  path: string,
  warn: (message: string, details: object) => void,
) => Promise<Selection>;

/** The session without a suffix, for every request: what holds where there are no scopes. */
export const everything: Selection = { suffix: undefined };

/** Makes the selector. Throws `INVALID_OPTION`. */
export function scopeSelector<Request>(scopes: readonly Scope<Request>[] | undefined): ScopeSelector<Request> {
  if (scopes === undefined) return async () => everything;
  if (!Array.isArray(scopes)) throw invalid("scopes must be an array", scopes);
  const all = scopes.map((scope) => resolve(scope as Scope<Request>));
  const lastSupplier = all.findLastIndex(({ canSupply }) => canSupply);
  return async (request, path, warn) => {
    let isAccepted = false;
    for (const [index, scope] of all.entries()) {
      if (isAccepted && index > lastSupplier) break;
      try {
        const answer = await scope.ask(request, path);
        if (answer === false) continue;
        isAccepted = true;
        if (answer !== true) return { suffix: answer === "" ? undefined : answer };
      } catch (error) {
        warn("a scope failed and accepts nothing", { scope: index, error });
      }
    }
    return isAccepted ? everything : undefined;
  };
}

interface ResolvedScope<Request> {
  readonly canSupply: boolean;
  /** False: not accepted; true: accepted; a text: accepted with this suffix. */
  ask(request: Request, path: string): boolean | string | Promise<boolean | string>;
}

function resolve<Request>(scope: Scope<Request>): ResolvedScope<Request> {
  checkOptions("set up scopes", scope, ["when", "suffix"]);
  const { when, suffix } = scope;
  if (suffix !== "") checkOption(() => checkSuffix(suffix));
  const whenAccepted = suffix ?? true;
  if (typeof when === "string") {
    const matches = pathMatcher(when);
    return { canSupply: suffix !== undefined, ask: (_request, path) => matches(path) && whenAccepted };
  }
  if (when instanceof RegExp) {
    const matches = (path: string) => decoded(path).search(when) >= 0;
    return { canSupply: suffix !== undefined, ask: (_request, path) => matches(path) && whenAccepted };
  }
  if (when === undefined) throw invalid("when must be a path, a regular expression or a function", when);
  checkFunction("set up scopes", "when", when);
  return {
    canSupply: true,
    ask: async (request) => {
      const answer = await when(request);
      if (typeof answer !== "string") return Boolean(answer) && whenAccepted;
      if (answer !== "") checkSuffix(answer);
      return answer;
    },
  };
}

function pathMatcher(pattern: string): (path: string) => boolean {
  if (!pattern.startsWith("/")) throw invalid("a path must begin with /", pattern);
  const wanted = pattern.replace(/\/$/, "").split("/");
  return (path) => {
    const segments = path.split("/").map(decoded); // an encoded slash is part of its segment
    return wanted.every((segment, i) => (segment === "*" ? Boolean(segments[i]) : segment === segments[i]));
  };
}

/** What cannot be decoded is compared as it came. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

function checkOption(check: () => void): void {
  try {
    check();
  } catch (cause) {
    throw new ActiveSessionError("INVALID_OPTION", (cause as Error).message, { cause });
  }
}

function invalid(requirement: string, value: unknown): ActiveSessionError {
  return new ActiveSessionError("INVALID_OPTION", `Cannot set up scopes: ${requirement}, received ${describe(value)}`);
}
