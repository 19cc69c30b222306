import { createActiveSessions, defineSequenceRunner } from "active-session";
import { activeSession, runnerRouter } from "active-session/fetch";
import { count } from "./count.mjs";

// Next builds several bundles of an application, and rebuilds them in development: one host for the process, not for a module.
globalThis.activeSessions ??= createActiveSessions();

export const sessions = globalThis.activeSessions;
export const withSession = activeSession(sessions);
export const serveRunners = runnerRouter(sessions, {
  expose: [defineSequenceRunner({ name: "count", run: () => count() })],
});
