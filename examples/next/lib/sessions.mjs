import { createActiveSessions, defineSequenceRunner } from "active-session";
import { activeSession, runnerRouter } from "active-session/fetch";
import { count } from "./count.mjs";

// Next makes several bundles of an application, and in development makes them anew: the host is the process's, not a module's.
globalThis.activeSessions ??= createActiveSessions();

export const sessions = globalThis.activeSessions;
export const withSession = activeSession(sessions);
export const serveRunners = runnerRouter(sessions, {
  expose: [defineSequenceRunner({ name: "count", run: () => count() })],
});
