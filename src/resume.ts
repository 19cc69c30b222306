/** Stores a tab's position in a runner, to resume after a reload. */
import type { RunnerPlace } from "./client/follower.js";

/** The key in `sessionStorage`. */
const entryOf = (name: string) => `active-session:${name}`;

/**
 * An option of `follow` and `create` that stores the runner's place in the tab's `sessionStorage`. If storage is full or blocked,
 * nothing is stored and nothing fails. Items that were acknowledged are gone after the reload unless the runner has `retain: "all"`.
 * @param name tells apart the runners of a page; a later place under the same name replaces the former one
 * @example
 * const place = saved("search");
 * const search = place
 *   ? client.follow(place.key, { offset: place.offset, ...saveAs("search") })
 *   : await client.create("search", input, saveAs("search"));
 */
export function saveAs(name: string): { readonly onPlace: (place: RunnerPlace) => void } {
  return {
    onPlace: (place) => {
      try {
        sessionStorage.setItem(entryOf(name), JSON.stringify(place));
      } catch {}
    },
  };
}

/**
 * Reads a stored place.
 * @returns the runner's key and the offset to continue at; `undefined` if nothing is stored under this name, or it cannot be read
 */
export function saved(name: string): RunnerPlace | undefined {
  try {
    return JSON.parse(sessionStorage.getItem(entryOf(name)) ?? "null") ?? undefined;
  } catch {
    return undefined;
  }
}

/** Deletes a stored place: call this when the runner has ended or is gone. */
export function forget(name: string): void {
  try {
    sessionStorage.removeItem(entryOf(name));
  } catch {}
}
