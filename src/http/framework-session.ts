/** Ties active sessions to framework sessions that offer data, but no id to rely on. See {@link sessionOfStore}. */

import { randomId } from "./cookie.js";
import type { FrameworkSession } from "./request-port.js";

/** Access to the data of a framework's session. */
export interface SessionData {
  /** The value stored under `name`; `undefined` if there is none. */
  read(name: string): unknown;
  /** Stores a value under `name`. */
  write(name: string, value: string): void;
  /** Persists the data; absent where the framework does so by itself after a write. */
  save?(): Promise<unknown>;
}

/** Name under which our id is stored among the session's data. */
const name = "activeSession";

/**
 * True if the client has brought back the id of a session that its framework keeps in a store: the framework has found it there, or the
 * session would have a new id.
 * @param cookies the `Cookie` header
 */
export function isBroughtBack(id: string, cookies: string | undefined): boolean {
  return cookies !== undefined && (cookies.includes(id) || cookies.includes(encodeURIComponent(id)));
}

/** Ids of sessions without our id in their data, so that they answer the same id at each access until it is written. */
const unwritten = new WeakMap<object, string>();

/**
 * A {@link FrameworkSession} whose id is stored among the session's data, for frameworks that keep the data in an encrypted cookie,
 * for example. The active session follows the data through logins and logouts.
 *
 * A session that its framework had in a store on the server before can be identified by its own id, and is not written to then: a slow
 * request would overwrite what a concurrent one has changed, or bring back what it has destroyed.
 * @param session the framework's session object
 * @param idOfKept the framework's own id, which must change at a login, if the session was in its store before this request
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
