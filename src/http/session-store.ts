/**
 * Frameworks whose sessions have no id that could be used, only data that they keep (in an encrypted cookie, say): then an id of our
 * own is kept among the data. What becomes of the data, by logging in or out, becomes of the active session.
 */
import { randomId } from "./cookie.js";
import type { FrameworkSession } from "./request-session.js";

/** How a framework's session is read and written. */
export interface SessionData {
  read(name: string): unknown;
  write(name: string, value: string): void;
  /** Where writing is not enough. */
  save?(): Promise<unknown>;
}

const name = "activeSession";

/** Ids of sessions that nothing was written to yet: such a session is asked several times before it is. */
const unwritten = new WeakMap<object, string>();

/** @param session the framework's own object */
export function sessionOfStore(session: object, data: SessionData): FrameworkSession {
  const kept = data.read(name);
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
    markAndSave: () => keep(id),
    renew: () => keep(randomId()),
  };
}
