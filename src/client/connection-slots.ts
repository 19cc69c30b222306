import { noop } from "../base/async.js";

/** From this number on connections are not counted; stands for `Infinity`. */
const unlimited = 1e9;

/** Places in use by this page. Counted only where the browser has no Web Locks. */
let taken = 0;

/**
 * Takes one of the places for connections that stay open.
 *
 * Over HTTP/1.1 a browser opens six connections to a server, for all tabs together. If followed runners held all of them, the next
 * click would wait. So only some connections stay open, and the other runners are read by short requests in turn. The tabs share
 * the places through the Web Locks of their origin, named `active-session 0`, `active-session 1` and so on.
 * @param connections how many places there are. Default: unlimited outside of a page and in a page that came over HTTP/2 or 3; else
 *   4, or 2 for each tab without Web Locks
 * @returns a function that gives the place back, to be called once; `undefined` if none is free
 */
export async function takePlace(connections: number | undefined): Promise<(() => void) | undefined> {
  const locks = globalThis.navigator?.locks;
  // Pages outside of a secure context have no locks and cannot see the other tabs: leave room for those.
  const places = connections ?? (isLimited() ? (locks ? 4 : 2) : unlimited);
  if (places >= unlimited) return noop;
  if (!locks) {
    if (taken >= places) return undefined;
    taken++;
    return () => {
      taken--;
    };
  }
  for (let place = 0; place < places; place++) {
    const release = await tryLock(locks, `active-session ${place}`);
    if (release) return release;
  }
  return undefined;
}

/**
 * True for a page that did not come over HTTP/2 or 3. Workers and servers are not limited. If the protocol is unknown, HTTP/1.1 is
 * assumed.
 */
function isLimited(): boolean {
  if (!globalThis.document) return false;
  const [page] = (performance.getEntriesByType?.("navigation") ?? []) as PerformanceNavigationTiming[]; // jsdom has no entries
  return !/^h[23]/.test(page?.nextHopProtocol as string);
}

/**
 * Takes a lock if it is free, without waiting for it. Never rejects.
 * @returns a function that releases the lock; `undefined` if another follower or tab holds it
 */
function tryLock(locks: LockManager, name: string): Promise<(() => void) | undefined> {
  return new Promise((resolve) => {
    // The lock is held until the promise of this callback settles: `resolve` becomes the release.
    const hold = (lock: Lock | null) => (lock ? new Promise<void>(resolve) : resolve(undefined));
    // Rejects if the page may not lock, because it is being left, say. Nothing is limited then.
    locks.request(name, { ifAvailable: true }, hold).catch(() => resolve(noop));
  });
}
