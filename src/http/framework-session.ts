/**
 * Frameworks whose sessions have no id that could be used, only data that they keep (in an encrypted cookie, say): then an id of our
 * own is kept among the data. What becomes of the data, by logging in or out, becomes of the active session.
 *
 * A session that its framework has kept before, in a store on the server, is not written to: a request that is slow would write back
 * what another one has changed or destroyed since.
 */

import type { FrameworkSession } from "./client-identity.js";
import { randomId } from "./cookie.js";

/** How a framework's session is read and written. */
export interface SessionData {
  read(name: string): unknown;
  write(name: string, value: string): void;
  /** Where writing is not enough. */
  save?(): Promise<unknown>;
}

const name = "activeSession";

const keptBefore = Symbol("kept before the request");

/** To be called when a request comes: a session that has data by then has been kept before. */
export function noteKept(session: unknown): void {
  if (typeof session !== "object" || session === null) return;
  if (Object.keys(session).some((key) => key !== "cookie")) Object.defineProperty(session, keptBefore, { value: true });
}

/** Whether the framework has kept a session before the request came. */
export function wasKept(session: object): boolean {
  return keptBefore in session;
}

/** Ids of sessions that nothing was written to yet: such a session is asked several times before it is. */
const unwritten = new WeakMap<object, string>();

/**
 * @param session the framework's own object
 * @param idOfKept the id under which the framework has kept it before, if it has
 */
export function sessionOfStore(session: object, data: SessionData, idOfKept?: string): FrameworkSession {
  const kept = data.read(name) ?? idOfKept;
  const isMarked = typeof kept === "string" && kept !== "";
  const id = isMarked ? kept : (unwritten.get(session) ?? randomId());
  if (!isMarked) unwritten.set(session, id);
  const keep = async (value: string) => {
    data.write(name, value);
    await data.save?.();
  };
  return {
    id,
    isMarked,
    markAndSave: async () => {
      if (idOfKept === undefined) await keep(id);
    },
    renew: () => keep(randomId()),
  };
}
