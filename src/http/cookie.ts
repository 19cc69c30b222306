/**
 * The library's own session cookie: 128 random bits and a signature, `{22 base64url characters}.{11}`. The bits are what finds a
 * session. The signature tells whether this application has issued them: nobody can plant a value of their own.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { checkOptions } from "../base/check.js";
import { ActiveSessionError, describe } from "../base/error.js";

/** Options of the session cookie. */
export interface CookieOptions {
  /**
   * Default: `active-session`; on HTTPS with the prefix `__Host-`, which browsers accept with `Secure`, Path=/ and no domain
   * only, or `__Secure-` where path or domain are set.
   */
  readonly name?: string | undefined;
  /** Default: whether the request came by HTTPS (behind a proxy: as the framework's proxy settings say). */
  readonly secure?: boolean | undefined;
  /** Default: `"lax"`. `"none"` needs `secure: true`. */
  readonly sameSite?: "strict" | "lax" | "none" | undefined;
  /** Default: `/`. */
  readonly path?: string | undefined;
  /** Default: none, that is, the host that sets it. */
  readonly domain?: string | undefined;
}

const namePattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const attributePattern = /^[^;,\s\p{Cc}]+$/u;

/** Throws `INVALID_OPTION` unless the options make a cookie. */
export function checkCookieOptions(options: CookieOptions): void {
  const action = "set up the session cookie";
  checkOptions(action, options, ["name", "secure", "sameSite", "path", "domain"]);
  const { name, secure, sameSite, path, domain } = options;
  const check = (fits: boolean, requirement: string, value: unknown) => {
    if (fits) return;
    throw new ActiveSessionError("INVALID_OPTION", `Cannot ${action}: ${requirement}, received ${describe(value)}`);
  };
  check(name === undefined || namePattern.test(name), "name must be a cookie name", name);
  check(secure === undefined || typeof secure === "boolean", "secure must be a boolean", secure);
  const sites = [undefined, "strict", "lax", "none"];
  check(sites.includes(sameSite), 'sameSite must be "strict", "lax" or "none"', sameSite);
  check(path === undefined || (attributePattern.test(path) && path.startsWith("/")), "path must begin with /", path);
  check(domain === undefined || attributePattern.test(domain), "domain must be a host name", domain);
  check(sameSite !== "none" || secure === true, 'secure must be true with sameSite "none"', secure);
  const isHostOnly = secure !== false && (path ?? "/") === "/" && domain === undefined;
  check(isHostOnly || !name?.startsWith("__Host-"), "a __Host- cookie needs secure, path / and no domain", name);
  check(secure !== false || !name?.startsWith("__Secure-"), "a __Secure- cookie needs secure", name);
}

/** The cookie, of requests by HTTP or of those by HTTPS. */
export class SessionCookie {
  readonly #options: CookieOptions;
  readonly #secure: boolean;
  /** Finds it among others; a value that we cannot have made is passed over. */
  readonly #pattern: RegExp;

  constructor(options: CookieOptions, isHttps: boolean) {
    this.#options = options;
    this.#secure = options.secure ?? isHttps;
    const name = this.name.replace(/[^\w-]/g, "\\$&");
    // Spaces and tabs only: browsers do not take other white space for a part of the name's surroundings.
    this.#pattern = new RegExp(`(?:^|;)[ \\t]*${name}[ \\t]*=[ \\t]*([\\w-]{22}\\.[\\w-]{11})[ \\t]*(?=;|$)`, "g");
  }

  get name(): string {
    const { name, path = "/", domain } = this.#options;
    if (name !== undefined) return name;
    if (!this.#secure) return "active-session";
    return path === "/" && domain === undefined ? "__Host-active-session" : "__Secure-active-session";
  }

  /** The values in a `Cookie` header that may be ours, in order; mostly there is one. */
  read(header: string | undefined): string[] {
    return header === undefined ? [] : Array.from(header.matchAll(this.#pattern), ([, value]) => value!);
  }

  /** The `Set-Cookie` header for a value. */
  serialize(value: string): string {
    const { path = "/", domain, sameSite = "lax" } = this.#options;
    const site = { strict: "Strict", lax: "Lax", none: "None" }[sameSite];
    const parts = [`${this.name}=${value}`, `Path=${path}`, ...(domain ? [`Domain=${domain}`] : []), "HttpOnly"];
    return [...parts, `SameSite=${site}`, ...(this.#secure ? ["Secure"] : [])].join("; ");
  }
}

/** 128 random bits as 22 base64url characters. */
export function randomId(): string {
  return randomBytes(16).toString("base64url");
}

/** A new value, signed by `secret`. */
export function createCookieValue(secret: string | Uint8Array): string {
  const id = randomId();
  return `${id}.${signatureOf(id, secret)}`;
}

/** Whether a value, which must have the form of one, has been issued under `secret`. */
export function isIssued(value: string, secret: string | Uint8Array): boolean {
  const [id = "", signature = ""] = value.split(".");
  return timingSafeEqual(Buffer.from(signature), Buffer.from(signatureOf(id, secret)));
}

/** 64 bits of an HMAC-SHA-256, as 11 base64url characters. A prefix keeps it apart from the hashes that name sessions. */
function signatureOf(id: string, secret: string | Uint8Array): string {
  return createHmac("sha256", secret).update(`signature:${id}`).digest().subarray(0, 8).toString("base64url");
}
