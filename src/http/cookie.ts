/** The library's own session cookie: 128 random bits, which say nothing and are nothing but hard to guess. */
import { randomBytes } from "node:crypto";
import { checkOptions } from "../base/check.js";
import { ActiveSessionError, describe } from "../base/error.js";

/** Options of the session cookie. */
export interface CookieOptions {
  /** Default: `__Host-active-session` on HTTPS, else `active-session`. A `__Host-` name needs HTTPS, Path=/ and no domain. */
  readonly name?: string;
  /** Default: whether the request came by HTTPS (behind a proxy: as the framework's proxy settings say). */
  readonly secure?: boolean;
  /** Default: `"lax"`. `"none"` needs `secure`. */
  readonly sameSite?: "strict" | "lax" | "none";
  /** Default: `/`. */
  readonly path?: string;
  /** Default: none, that is, the host that sets it. */
  readonly domain?: string;
}

const valuePattern = /^[A-Za-z0-9_-]{22}$/;
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
}

/** The cookie of one request. */
export class SessionCookie {
  readonly #options: CookieOptions;
  readonly #secure: boolean;

  constructor(options: CookieOptions, isHttps: boolean) {
    this.#options = options;
    this.#secure = options.secure ?? isHttps;
  }

  get name(): string {
    return this.#options.name ?? (this.#secure ? "__Host-active-session" : "active-session");
  }

  /** The value in a `Cookie` header; `undefined` if there is none of ours, or one that we cannot have made. */
  read(header: string | undefined): string | undefined {
    for (const pair of (header ?? "").split(";")) {
      const separator = pair.indexOf("=");
      if (separator < 0 || pair.slice(0, separator).trim() !== this.name) continue;
      const value = pair.slice(separator + 1).trim();
      if (valuePattern.test(value)) return value;
    }
    return undefined;
  }

  /** The `Set-Cookie` header for a value. */
  serialize(value: string): string {
    const { path = "/", domain, sameSite = "lax" } = this.#options;
    const site = { strict: "Strict", lax: "Lax", none: "None" }[sameSite];
    const parts = [`${this.name}=${value}`, `Path=${path}`, ...(domain ? [`Domain=${domain}`] : []), "HttpOnly"];
    return [...parts, `SameSite=${site}`, ...(this.#secure ? ["Secure"] : [])].join("; ");
  }
}

/** A new value: 128 random bits as 22 base64url characters. */
export function createCookieValue(): string {
  return randomBytes(16).toString("base64url");
}
