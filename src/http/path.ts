/** Which addresses below the place where runners are served are theirs. */
import { ActiveSessionError, describe } from "../base/error.js";

/** What a path names; see `WireRequest`. */
export interface Address {
  readonly key: string;
  readonly action: string | undefined;
}

/**
 * Takes the rest of a path, from its slash on, apart; `undefined`: it is no address of runners.
 * @param isHome whether the whole path is that of the application's home page, which is never taken for a list of runners
 */
export function addressOf(path: string, method: string, isHome: boolean): Address | undefined {
  const slash = path.indexOf("/", 1);
  const key = slash < 0 ? path.slice(1) : path.slice(1, slash);
  const action = slash < 0 ? undefined : path.slice(slash + 1);
  if (action === "" || action?.includes("/") || (key === "" && (method !== "GET" || isHome))) return undefined;
  return { key, action };
}

/** Checks the option that says where runners are served; returns it without a slash at its end. Throws `INVALID_OPTION`. */
export function mountOf(path: unknown): string {
  if (typeof path === "string" && /^(\/[^/?#]+)*\/?$/.test(path)) return path.replace(/\/$/, "");
  throw new ActiveSessionError(
    "INVALID_OPTION",
    `Cannot serve runners: path must begin with /, received ${describe(path)}`,
  );
}

/** The part of a path below a mount, from its slash on; `undefined` for a path elsewhere. */
export function below(mount: string, path: string): string | undefined {
  if (path === mount) return "/";
  return path.startsWith(`${mount}/`) ? path.slice(mount.length) : undefined;
}
