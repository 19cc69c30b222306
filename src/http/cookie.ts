/**
 * The library's session cookie. Its value is `{id}.{signature}`: 128 random bits as 22 base64url characters, which identify the session,
 * and 64 bits of an HMAC as 11. The signature proves that this application issued the id: a value that was planted is not accepted.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { checkOptions } from "../base/check.js";
import { ActiveSessionError, describe } from "../base/error.js";

/** Name and attributes of the session cookie. It is always `HttpOnly` and lasts until the browser ends its session. */
export interface CookieOptions {
  /**
   * The cookie's name, a token of RFC 6265. Default: `active-session`, with a prefix on HTTPS: `__Host-`, or `__Secure-` if `path` or
   * `domain` is set. Browsers accept `__Host-` only with `Secure`, `Path=/` and no domain (RFC 6265bis, cookie name prefixes).
   */
  readonly name?: string | undefined;
  /**
   * The attribute `Secure`: the browser sends the cookie over HTTPS only. Default: true if the request came over HTTPS, which behind a
   * proxy depends on the framework's proxy settings.
   */
  readonly secure?: boolean | undefined;
  /** The attribute `SameSite`. `"none"` needs `secure: true`. Default: `"lax"`. */
  readonly sameSite?: "strict" | "lax" | "none" | undefined;
  /** The attribute `Path`, beginning with `/`. Default: `/`. */
  readonly path?: string | undefined;
  /** The attribute `Domain`, which includes subdomains. Default: none: only the host that sets the cookie receives it. */
  readonly domain?: string | undefined;
}

/** A token of HTTP (RFC 9110, 5.6.2), as cookie names must be (RFC 6265, 4.1.1). */
const namePattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Excludes characters that would end the attribute or the header. */
const attributePattern = /^[^;,\s\p{Cc}]+$/u;

/** Throws `INVALID_OPTION` unless the options make a cookie that browsers accept. */
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

/** The cookie for requests over one protocol, HTTP or HTTPS: parses and serializes it. */
export class SessionCookie {
  readonly #options: CookieOptions;
  readonly #secure: boolean;
  /** Matches the cookie in a header, if its value has the form of ours. */
  readonly #pattern: RegExp;

  /** @param options checked by {@link checkCookieOptions} */
  constructor(options: CookieOptions, isHttps: boolean) {
    this.#options = options;
    this.#secure = options.secure ?? isHttps;
    const name = this.name.replace(/[^\w-]/g, "\\$&");
    // Spaces and tabs only: browsers do not trim other white space around a name or value.
    this.#pattern = new RegExp(`(?:^|;)[ \\t]*${name}[ \\t]*=[ \\t]*([\\w-]{22}\\.[\\w-]{11})[ \\t]*(?=;|$)`, "g");
  }

  /** The cookie's name; the default depends on the protocol, see {@link CookieOptions.name}. */
  get name(): string {
    const { name, path = "/", domain } = this.#options;
    if (name !== undefined) return name;
    if (!this.#secure) return "active-session";
    return path === "/" && domain === undefined ? "__Host-active-session" : "__Secure-active-session";
  }

  /** Values of this name in a `Cookie` header that have the form of ours, in order. Browsers send several if paths or domains differ. */
  read(header: string | undefined): string[] {
    return header === undefined ? [] : Array.from(header.matchAll(this.#pattern), ([, value]) => value!);
  }

  /** The value of a `Set-Cookie` header that sets the cookie. */
  serialize(value: string): string {
    const { path = "/", domain, sameSite = "lax" } = this.#options;
    const site = { strict: "Strict", lax: "Lax", none: "None" }[sameSite];
    const parts = [`${this.name}=${value}`, `Path=${path}`, ...(domain ? [`Domain=${domain}`] : []), "HttpOnly"];
    return [...parts, `SameSite=${site}`, ...(this.#secure ? ["Secure"] : [])].join("; ");
  }
}

/** 128 random bits as 22 base64url characters: unique, and impossible to guess. */
export function randomId(): string {
  return randomBytes(16).toString("base64url");
}

/**
 * Makes a cookie value with a new id.
 * @param secret the host's, which signs it; a cookie is accepted as long as this stays the same
 */
export function createCookieValue(secret: string | Uint8Array): string {
  const id = randomId();
  return `${id}.${signatureOf(id, secret)}`;
}

/** True if `value`, which must have the form of a cookie value, was signed with `secret`. Compares in constant time. */
export function isIssued(value: string, secret: string | Uint8Array): boolean {
  const [id = "", signature = ""] = value.split(".");
  return timingSafeEqual(Buffer.from(signature), Buffer.from(signatureOf(id, secret)));
}

/** The first 64 bits of an HMAC-SHA-256, base64url. The prefix separates it from session ids, hashes under the same secret. */
function signatureOf(id: string, secret: string | Uint8Array): string {
  return createHmac("sha256", secret).update(`signature:${id}`).digest().subarray(0, 8).toString("base64url");
}
