/** Paths of the routes of runners. */
import { ActiveSessionError, describe } from "../base/error.js";

/** The address of a route, taken from a path; see `RouteRequest`. */
export interface Address {
  /** The first segment, not decoded; empty for the mount itself. */
  readonly key: string;
  /** The second segment; `undefined` if there is none. */
  readonly action: string | undefined;
}

/**
 * Parses the rest of a path below the mount.
 * @param path the rest, which begins with a slash
 * @param isHome true if the whole path is `/`: the home page of the application is never taken for a list of runners
 * @returns `undefined` if the path is no address of a route
 */
export function addressOf(path: string, method: string, isHome: boolean): Address | undefined {
  const slash = path.indexOf("/", 1);
  const key = slash < 0 ? path.slice(1) : path.slice(1, slash);
  const action = slash < 0 ? undefined : path.slice(slash + 1);
  if (action === "" || action?.includes("/") || (key === "" && (method !== "GET" || isHome))) return undefined;
  return { key, action };
}

/**
 * Checks the option `path` of an adapter.
 * @returns the path without a slash at its end; empty for `/`
 * @throws `INVALID_OPTION`
 */
export function mountOf(path: unknown): string {
  if (typeof path === "string" && /^(\/[^/?#]+)*\/?$/.test(path)) return path.replace(/\/$/, "");
  throw new ActiveSessionError(
    "INVALID_OPTION",
    `Cannot serve runners: path must begin with /, received ${describe(path)}`,
  );
}

/**
 * The part of `path` below a mount, from its slash on; `/` for the mount itself, `undefined` for a path elsewhere.
 */
export function below(mount: string, path: string): string | undefined {
  if (path === mount) return "/";
  return path.startsWith(`${mount}/`) ? path.slice(mount.length) : undefined;
}
