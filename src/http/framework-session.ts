/** Ties active sessions to framework sessions that offer data, but no id to rely on. See {@link sessionOfStore}. */
import type { FrameworkSession } from "./client-identity.js";
import { randomId } from "./cookie.js";

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

/** Marks session objects that were stored before the request. */
const keptBefore = Symbol("kept before the request");

/** Call this when a request arrives: a session that has data by then was stored before. The cookie's settings are no data. */
export function noteKept(session: unknown): void {
  if (typeof session !== "object" || session === null) return;
  if (Object.keys(session).some((key) => key !== "cookie")) Object.defineProperty(session, keptBefore, { value: true });
}

/** True if {@link noteKept} found that the framework had stored this session before the request. */
export function wasKept(session: object): boolean {
  return keptBefore in session;
}

/** Ids of sessions without our id in their data, so that they answer the same id at each access until it is written. */
const unwritten = new WeakMap<object, string>();

/**
 * A {@link FrameworkSession} whose id is stored among the session's data, for frameworks that keep the data in an encrypted cookie,
 * for example. The active session follows the data through logins and logouts.
 *
 * A session that its framework had in a store on the server before is identified by its own id and not written to: a slow request
 * would overwrite what a concurrent one has changed, or bring back what it has destroyed.
 * @param session the framework's session object
 * @param idOfKept the framework's own id, if the session was in its store before this request
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
