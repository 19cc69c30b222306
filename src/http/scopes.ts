/** Scopes: select the requests that have a session, and its suffix where a client has several. See {@link scopeSelector}. */
import { checkFunction, checkOptions } from "../base/check.js";
import { ActiveSessionError, describe } from "../base/error.js";
import { checkSuffix } from "../session/identity.js";

/**
 * A rule that accepts requests and may give their session a suffix: sessions of one client with different suffixes are separate.
 * @typeParam Request what the adapter calls a request, or a context
 */
export interface Scope<Request> {
  /**
   * Which requests the scope accepts:
   *
   * - a path, which begins with `/`: `/shop` accepts itself and everything below; the segment `*` matches any one segment;
   * - a regular expression, which is searched in the decoded path;
   * - a function, which may be async: accepts if it returns a truthy value. A string it returns, also an empty one, accepts and
   *   replaces {@link suffix}.
   */
  readonly when: string | RegExp | ((request: Request) => unknown);
  /**
   * Suffix of the session: 1 to 64 letters, digits, `_` or `-`. The empty string chooses the session without suffix and ends the
   * search. Default: the scope accepts, and leaves the suffix to later scopes.
   */
  readonly suffix?: string | undefined;
}

/** The result of the scopes: the session's suffix, if it has one; `undefined` as a whole: the request has no session. */
export type Selection = { readonly suffix: string | undefined } | undefined;

/**
 * Applies the scopes to a request. Never rejects.
 * @param path the path of the URL, not decoded
 * @param warn is called with the index of a scope that failed, and its error
 */
export type ScopeSelector<Request> = (
  request: Request,
  path: string,
  warn: (message: string, details: object) => void,
) => Promise<Selection>;

/** Selects the session without a suffix. The selection of every request where there are no scopes. */
export const everything: Selection = { suffix: undefined };

/**
 * Checks the scopes and makes their selector. Scopes are evaluated in order, one after the other:
 *
 * - A request has a session if at least one scope accepts it.
 * - Its suffix is that of the first accepting scope that supplies one; an empty string supplies "no suffix".
 * - A scope that accepts without a suffix does not end the search, unless no later scope can supply one.
 * - A scope that throws, or supplies an invalid suffix, does not accept and is reported.
 * @param scopes `undefined`: every request has the session without suffix; an empty array: no request has a session
 * @throws `INVALID_OPTION`
 */
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

/** A scope that has been checked. */
interface ResolvedScope<Request> {
  /** True if the scope may supply a suffix; of a function that is not known before it is called. */
  readonly canSupply: boolean;
  /** False: not accepted; true: accepted; a string: accepted with this suffix, which may be empty. */
  ask(request: Request, path: string): boolean | string | Promise<boolean | string>;
}

/** Checks a scope and compiles its condition. Throws `INVALID_OPTION`. */
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

/** Compares segment by segment: `/shop` must not match `/shopping`. A slash at the end of the pattern is ignored. */
function pathMatcher(pattern: string): (path: string) => boolean {
  if (!pattern.startsWith("/")) throw invalid("a path must begin with /", pattern);
  const wanted = pattern.replace(/\/$/, "").split("/");
  return (path) => {
    const segments = path.split("/").map(decoded); // an encoded slash is part of its segment
    return wanted.every((segment, i) => (segment === "*" ? Boolean(segments[i]) : segment === segments[i]));
  };
}

/** Decodes percent-encoding; malformed text (`%E0%A4%A`) is returned unchanged rather than failing the request. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** Turns the error of a check of arguments into `INVALID_OPTION`. */
function checkOption(check: () => void): void {
  try {
    check();
  } catch (cause) {
    throw new ActiveSessionError("INVALID_OPTION", (cause as Error).message, { cause });
  }
}

/** The error of a scope that is no scope. */
function invalid(requirement: string, value: unknown): ActiveSessionError {
  return new ActiveSessionError("INVALID_OPTION", `Cannot set up scopes: ${requirement}, received ${describe(value)}`);
}
