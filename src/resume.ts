/** Keeps where a tab has come to with a runner, for the time after a reload. */
import type { RunnerPlace } from "./client/follower.js";

const entryOf = (name: string) => `active-session:${name}`;

/**
 * The option with which a runner's place is kept in the tab's `sessionStorage` under a name. A storage that is full or forbidden
 * keeps nothing. What was acknowledged is not there any more after the reload, unless the runner keeps it (`retain: "all"`).
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

/** The runner that was kept under the name, and where to go on; `undefined` if there is none. */
export function saved(name: string): RunnerPlace | undefined {
  try {
    return JSON.parse(sessionStorage.getItem(entryOf(name)) ?? "null") ?? undefined;
  } catch {
    return undefined;
  }
}

/** Keeps it no longer: it is over, or gone. */
export function forget(name: string): void {
  try {
    sessionStorage.removeItem(entryOf(name));
  } catch {}
}
