/** Exports that all adapters share, besides their own functions. */
export type { CookieOptions } from "./cookie.js";
export { type RotateOptions, refreshSession, requestSignal, resolveIdentity, rotateSession } from "./middleware.js";
export type { Scope } from "./scopes.js";
