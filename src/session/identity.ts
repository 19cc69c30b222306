/**
 * Identities of clients, tagged by source. The tag keeps the sources apart: a cookie with the value `user:7` is not the user 7.
 * An identity is in no URL, event or log; the public id of a session is a keyed hash of it.
 */
import { createHmac } from "node:crypto";
import { ActiveSessionError, describe } from "../base/error.js";

/** Source of an identity: the application's user id, the framework's session, or the library's own cookie. */
export type IdentitySource = "user" | "session" | "cookie";

/** An identity prefixed with its source, such as `user:7`. */
export type TaggedIdentity = `${IdentitySource}:${string}`;

/**
 * Tags an identity with its source.
 * @param identity used as it is: not trimmed, not normalized
 * @throws `INVALID_IDENTITY` unless it is a non-empty, well-formed string. A lone surrogate has no UTF-8 encoding, so identities that
 *   differ only there would get the same session id.
 */
export function tagIdentity(source: IdentitySource, identity: unknown): TaggedIdentity {
  if (typeof identity === "string" && identity !== "" && isWellFormed(identity)) return `${source}:${identity}`;
  throw new ActiveSessionError(
    "INVALID_IDENTITY",
    `Cannot find a session: the identity must be a non-empty string of whole characters, received ${describe(identity)}`,
  );
}

/** `String.prototype.isWellFormed`, which Node has but the configured TypeScript `lib` does not declare. */
export function isWellFormed(text: string): boolean {
  return (text as string & { isWellFormed(): boolean }).isWellFormed();
}

/** True for the application's own user id: such a client is trusted to come back, unlike one known only by a cookie or session. */
export function isOfUser(identity: TaggedIdentity): boolean {
  return identity[0] === "u"; // the tags differ in their first letter, and this is asked for every session
}

const suffixPattern = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * Checks the suffix that distinguishes several sessions of one client.
 * @throws `INVALID_ARGUMENT` unless it is `undefined` or 1 to 64 ASCII letters, digits, `_` or `-`
 */
export function checkSuffix(suffix: unknown): asserts suffix is string | undefined {
  if (suffix === undefined || (typeof suffix === "string" && suffixPattern.test(suffix))) return;
  throw new ActiveSessionError(
    "INVALID_ARGUMENT",
    `Cannot find a session: the suffix must be 1 to 64 letters, digits, "_" or "-", received ${describe(suffix)}`,
  );
}

/**
 * Computes the public id of a session: the first 128 bits of the HMAC-SHA-256 of its identity, base64url without padding (22
 * characters), followed by `.suffix` if there is one. Without the secret, an id neither reveals nor confirms an identity.
 */
export function sessionIdFor(
  secret: string | Uint8Array,
  identity: TaggedIdentity,
  suffix: string | undefined,
): string {
  const hash = createHmac("sha256", secret).update(identity).digest().subarray(0, 16).toString("base64url");
  return suffix === undefined ? hash : `${hash}.${suffix}`;
}
