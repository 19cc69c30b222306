import { ActiveSessionError, describe } from "../base/error.js";

/**
 * Protects requests that change something against cross-site request forgery. The cookie is `SameSite=Lax` already;
 * this check also covers identities of the application's own, and other sites of the same domain.
 *
 * `Sec-Fetch-Site` (W3C Fetch Metadata) decides if it says `same-origin`, `none` or `cross-site`. Otherwise the host
 * of `Origin` must be the request's own or in `allowedOrigins`. A request without both headers does not come from a
 * page.
 * @param headers request headers, lower-case names
 * @param allowedOrigins origins or hosts besides the request's own
 * @param trustedHost the host that the client has requested, if the framework knows it from a trusted proxy
 * @throws `CROSS_SITE_REQUEST`
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

/** True if `origin` is in the list or has the request's own host, under any scheme: a proxy may end TLS. */
function isAllowed(origin: string, host: unknown, allowedOrigins: readonly string[]): boolean {
  if (allowedOrigins.includes(origin)) return true;
  try {
    const { protocol, host: originHost } = new URL(origin);
    if (originHost === "") return false;
    if (host === undefined) return allowedOrigins.includes(originHost);
    // Normalised as the browser does: lower case, without the default port of the scheme.
    return originHost === new URL(`${protocol}//${host}`).host || allowedOrigins.includes(originHost);
  } catch {
    return false; // "null", or not a URL
  }
}
