/**
 * Who a request belongs to. An identity is a text tagged by where it comes from, so that one kind can never pose as another:
 * the cookie `user:7` is not the user 7. It never leaves the process; outside, a session is known by a keyed hash of it.
 */
import { createHmac } from "node:crypto";
import { ActiveSessionError, describe } from "../base/error.js";

/** Where an identity comes from: the application's own user id, the framework's session, or our cookie. */
export type IdentitySource = "user" | "session" | "cookie";

/** An identity with its source. */
export type TaggedIdentity = `${IdentitySource}:${string}`;

/**
 * Tags an identity; throws `INVALID_IDENTITY` unless it is a non-empty string of whole characters. Half of a surrogate pair has no form
 * in UTF-8: identities that differ only there would share a session id.
 */
export function tagIdentity(source: IdentitySource, identity: unknown): TaggedIdentity {
  if (typeof identity === "string" && identity !== "" && isWellFormed(identity)) return `${source}:${identity}`;
  throw new ActiveSessionError(
    "INVALID_IDENTITY",
    `Cannot find a session: the identity must be a non-empty string of whole characters, received ${describe(identity)}`,
  );
}

/** `String.prototype.isWellFormed`, which Node has and the library's version of the language does not. */
function isWellFormed(text: string): boolean {
  return (text as string & { isWellFormed(): boolean }).isWellFormed();
}

/** Whether the application itself knows whose it is. */
export function isOfUser(identity: TaggedIdentity): boolean {
  return identity.startsWith("user:");
}

const suffixPattern = /^[A-Za-z0-9_-]{1,64}$/;

/** Throws `INVALID_ARGUMENT` unless `suffix` is 1 to 64 letters, digits, `_` or `-`, or `undefined`. */
export function checkSuffix(suffix: unknown): asserts suffix is string | undefined {
  if (suffix === undefined || (typeof suffix === "string" && suffixPattern.test(suffix))) return;
  throw new ActiveSessionError(
    "INVALID_ARGUMENT",
    `Cannot find a session: the suffix must be 1 to 64 letters, digits, "_" or "-", received ${describe(suffix)}`,
  );
}

/** The public id of an identity's session: the first 128 bits of its HMAC-SHA-256, base64url, and the suffix. */
export function sessionIdFor(
  secret: string | Uint8Array,
  identity: TaggedIdentity,
  suffix: string | undefined,
): string {
  const hash = createHmac("sha256", secret).update(identity).digest().subarray(0, 16).toString("base64url");
  return suffix === undefined ? hash : `${hash}.${suffix}`;
}
