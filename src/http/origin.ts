/**
 * Whether a request that changes something may come from where it comes from. The cookie is `SameSite=Lax` already; this
 * also holds where an application uses an identity of its own, and against another site of the same domain.
 */
import { ActiveSessionError, describe } from "../base/error.js";

/**
 * Throws `CROSS_SITE_REQUEST` if the request comes from a foreign page: `Sec-Fetch-Site` says so, or, where that leaves it
 * open or is missing, `Origin` names a host that is neither the request's own nor in `allowedOrigins`. A request without
 * both headers comes from no page at all.
 * @param trustedHost the host that the client has asked, where the framework knows it from a proxy that it trusts
 */
export function checkOrigin(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  allowedOrigins: readonly string[],
  trustedHost?: string,
): void {
  const site = headers["sec-fetch-site"];
  if (site === "same-origin" || site === "none") return;
  const origin = headers.origin;
  const host = trustedHost ?? headers[":authority"] ?? headers.host; // HTTP/2, HTTP/1
  const isForeign = origin !== undefined && !isAllowed(String(origin), host, allowedOrigins);
  if (site !== "cross-site" && !isForeign) return;
  const hint =
    "Add the page's origin to the router's allowedOrigins, or let the proxy in front pass the host on that the page has asked";
  throw new ActiveSessionError(
    "CROSS_SITE_REQUEST",
    `Cannot change a runner: the request must come from this site, received the origin ${describe(origin)}. ${hint}`,
  );
}

function isAllowed(origin: string, host: unknown, allowedOrigins: readonly string[]): boolean {
  if (allowedOrigins.includes(origin)) return true;
  try {
    const { protocol, host: originHost } = new URL(origin);
    if (originHost === "") return false;
    if (host === undefined) return allowedOrigins.includes(originHost);
    // As the browser writes it: in lower case, without the port that its protocol implies.
    return originHost === new URL(`${protocol}//${host}`).host || allowedOrigins.includes(originHost);
  } catch {
    return false; // "null", or no origin at all
  }
}
