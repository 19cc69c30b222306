/**
 * Places for connections that stay open. A browser has six connections over HTTP/1.1 to a server, for all tabs of the page
 * together; whoever holds them all leaves none for the next click. So only some stay open, the rest of the runners are read by
 * short requests in turn. The tabs know of each other's by the Web Locks of their origin.
 */
import { noop } from "../base/async.js";

let taken = 0;

/** How many places there are, if the application does not say. */
export function placesOf(connections: number | undefined): number {
  // Without locks (a page that is not served securely) the other tabs are unknown: they are given some, too.
  return connections ?? (isLimited() ? (globalThis.navigator?.locks ? 4 : 2) : Number.POSITIVE_INFINITY);
}

/** Takes one of so many places, if one is free, and returns what gives it back, once. */
export async function takePlace(places: number): Promise<(() => void) | undefined> {
  const locks = globalThis.navigator?.locks;
  if (!locks) return taken < places ? takeOwn() : undefined;
  for (let place = 0; place < places; place++) {
    const release = await tryLock(locks, `active-session ${place}`);
    if (release) return release;
  }
  return undefined;
}

function isLimited(): boolean {
  if (typeof document === "undefined") return false;
  const [page] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  return !/^h[23]/.test(page?.nextHopProtocol ?? "");
}

function takeOwn(): () => void {
  taken++;
  let mine = 1;
  return () => {
    taken -= mine;
    mine = 0;
  };
}

function tryLock(locks: LockManager, name: string): Promise<(() => void) | undefined> {
  return new Promise((resolve) => {
    const hold = (lock: Lock | null) => (lock ? new Promise<void>((release) => resolve(release)) : resolve(undefined));
    // Where the page may not lock (it is being left, say), nothing is limited.
    locks.request(name, { ifAvailable: true }, hold).catch(() => resolve(noop));
  });
}
