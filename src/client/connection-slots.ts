/**
 * Places for connections that stay open. A browser has six connections over HTTP/1.1 to a server, for all tabs of the page
 * together; whoever holds them all leaves none for the next click. So only some stay open, the rest of the runners are read by
 * short requests in turn. The tabs know of each other's by the Web Locks of their origin.
 */
import { noop } from "../base/async.js";

const unlimited = 1e9;

let taken = 0;

/**
 * Takes a place, if one is free, and returns what gives it back, which must be called once.
 * @param connections how many there are, if the application says so
 */
export async function takePlace(connections: number | undefined): Promise<(() => void) | undefined> {
  const locks = globalThis.navigator?.locks;
  // Without locks (a page that is not served securely) the other tabs are unknown: they are given some, too.
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

/** A page that did not come over HTTP/2 or 3. */
function isLimited(): boolean {
  if (!globalThis.document) return false;
  const [page] = (performance.getEntriesByType?.("navigation") ?? []) as PerformanceNavigationTiming[]; // jsdom has none
  return !/^h[23]/.test(page?.nextHopProtocol as string);
}

function tryLock(locks: LockManager, name: string): Promise<(() => void) | undefined> {
  return new Promise((resolve) => {
    const hold = (lock: Lock | null) => (lock ? new Promise<void>(resolve) : resolve(undefined));
    // Where the page may not lock (it is being left, say), nothing is limited.
    locks.request(name, { ifAvailable: true }, hold).catch(() => resolve(noop));
  });
}
