import { expect, test } from "vitest";
import { checkOrigin } from "./origin.js";

const host = "app.example:8080";
const own = `http://${host}`;
const foreign = "https://evil.example";
const allowed = ["https://admin.example", "partner.example", "cdn.example:444"];

const isRefused = expect.objectContaining({ code: "CROSS_SITE_REQUEST", status: 403 });

/** `-` stands for a header that is not sent. */
function check(site: string, origin: string, allowedOrigins: readonly string[] = []): void {
  const headers: Record<string, string> = { host };
  if (site !== "-") headers["sec-fetch-site"] = site;
  if (origin !== "-") headers.origin = origin;
  checkOrigin(headers, allowedOrigins);
}

test.each([
  ["same-origin", "-"],
  ["same-origin", own],
  ["same-origin", foreign], // the browser has compared the two; a proxy may have changed the host
  ["same-origin", "null"],
  ["none", "-"],
  ["none", own],
  ["same-site", "-"],
  ["same-site", own],
  ["-", "-"], // no browser at all
  ["-", own],
  ["-", `https://${host}`],
])("Sec-Fetch-Site %s with Origin %s passes", (site, origin) => {
  expect(() => check(site, origin)).not.toThrow();
});

const unusable = ["null", "", "not an origin", "//app.example:8080", "app.example:8080", "file://", "data:,x"];

test.each<[site: string, origin: string]>([
  ["cross-site", "-"],
  ["cross-site", own],
  ["cross-site", foreign],
  ["cross-site", "null"],
  ["same-site", foreign],
  ["same-site", "http://app.example"], // another port
  ["same-site", "http://app.example:8081"],
  ["same-site", "http://sub.app.example:8080"],
  ["-", foreign],
  ["-", "http://app.example"],
  ["-", "http://app.example:8080.evil.example"],
  ["-", "http://evil.example/app.example:8080"],
  ["-", "http://app.example:8080@evil.example"],
  ...unusable.flatMap((origin): [string, string][] => [
    ["same-site", origin],
    ["-", origin],
  ]),
])("Sec-Fetch-Site %s with Origin %j is refused", (site, origin) => {
  expect(() => check(site, origin)).toThrow(isRefused);
});

test.each(["https://admin.example", "https://partner.example", "http://partner.example", "https://cdn.example:444"])(
  "the allowed origin %s passes from the same site and without Sec-Fetch-Site",
  (origin) => {
    expect(() => check("same-site", origin, allowed)).not.toThrow();
    expect(() => check("-", origin, allowed)).not.toThrow();
  },
);

test.each(["https://admin.example", "https://partner.example"])("but %s does not undo cross-site", (origin) => {
  expect(() => check("cross-site", origin, allowed)).toThrow(isRefused);
});

test.each([
  ...["http://admin.example", "https://admin.example:444", "https://x.partner.example", "https://cdn.example"],
  ...["https://partner.example:444", "https://partner.example.evil", "null", ""],
])("the origin %j is not the same as one that is allowed", (origin) => {
  expect(() => check("-", origin, allowed)).toThrow(isRefused);
});

test("an origin is refused where the request has no host to compare it with", () => {
  expect(() => checkOrigin({ origin: own }, [])).toThrow(isRefused);
});

test.each([
  ["http://app.example", "APP.example", undefined],
  ["https://app.example", "app.example:443", undefined],
  ["http://app.example", "app.example:80", undefined],
  ["https://shop.example", "upstream:3000", "shop.example"],
  ["http://shop.example:8080", "upstream:3000", "Shop.Example:8080"],
])("%s is this site where the host is %s, or the framework trusts a proxy that says %s", (origin, own, trusted) => {
  expect(() => checkOrigin({ origin, host: own }, [], trusted)).not.toThrow();
  expect(() => checkOrigin({ origin: foreign, host: own }, [], trusted)).toThrow(isRefused);
});

test("the host of a trusted proxy counts instead of the request's own", () => {
  expect(() => checkOrigin({ origin: "http://upstream:3000", host: "upstream:3000" }, [], "shop.example")).toThrow(
    isRefused,
  );
});

test("the error names the origin, and what to set", () => {
  expect(() => check("-", foreign)).toThrow(/"https:\/\/evil\.example".*allowedOrigins/);
});
