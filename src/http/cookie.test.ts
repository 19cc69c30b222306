import { describe, expect, test } from "vitest";
import { type CookieOptions, checkCookieOptions, createCookieValue, isIssued, SessionCookie } from "./cookie.js";

const value = "abcdefghijklmnopqrs-_0.ABCDEFGH_-9";

const secret = "a secret";

describe("the value", () => {
  test("is 22 base64url characters and a signature of 11", () => {
    for (let i = 0; i < 100; i++) expect(createCookieValue(secret)).toMatch(/^[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{11}$/);
  });

  test("is known as issued, unless a letter of it, or the secret, is another one", () => {
    const made = createCookieValue(secret);
    expect(isIssued(made, secret)).toBe(true);
    expect(isIssued(made, "another secret")).toBe(false);
    for (let i = 0; i < made.length; i++) {
      if (made[i] === ".") continue;
      const changed = made.slice(0, i) + (made[i] === "A" ? "B" : "A") + made.slice(i + 1);
      expect(isIssued(changed, secret)).toBe(false);
    }
  });

  test("is another one each time", () => {
    expect(new Set(Array.from({ length: 1000 }, () => createCookieValue(secret))).size).toBe(1000);
  });

  test("that we made is read again", () => {
    const cookie = new SessionCookie({}, false);
    const made = createCookieValue(secret);
    expect(cookie.read(cookie.serialize(made).split(";")[0])).toEqual([made]);
  });
});

describe("reading", () => {
  const cookie = new SessionCookie({}, false);

  test.each([
    `active-session=${value}`,
    `a=1; active-session=${value}; b=2`,
    `a=1;active-session=${value};b=2`,
    `  active-session = ${value}  `,
    `active-session=broken; active-session=${value}`,
    `;;; =; active-session=${value}`,
  ])("%j has our cookie", (header) => {
    expect(cookie.read(header)).toEqual([value]);
  });

  test.each([
    ...[
      undefined,
      "",
      "active-session",
      "active-session=",
      "a=1",
      `Active-Session=${value}`,
      `xactive-session=${value}`,
    ],
    ...[`active-session=${value}x`, `active-session=${value.slice(1)}`, `active-session="${value}"`],
    ...[`active-session=${value.slice(1)}%`, `active-session=${value.slice(1)}=`, `active-session=${value.slice(1)} `],
    ...[`active-session=${value.slice(1)}é`, `__Host-active-session=${value}`, `a=active-session=${value}`],
    `active-session=${"a".repeat(10_000)}`,
  ])("%j has none that we can have made", (header) => {
    expect(cookie.read(header)).toEqual([]);
  });

  test("on HTTPS only the cookie with the safe name counts", () => {
    const secure = new SessionCookie({}, true);
    expect(secure.read(`active-session=${value}`)).toEqual([]);
    expect(secure.read(`__Host-active-session=${value}`)).toEqual([value]);
  });
});

describe("setting", () => {
  const cases: [string, CookieOptions, boolean, string][] = [
    ["over HTTP", {}, false, `active-session=${value}; Path=/; HttpOnly; SameSite=Lax`],
    ["over HTTPS", {}, true, `__Host-active-session=${value}; Path=/; HttpOnly; SameSite=Lax; Secure`],
    [
      "marked secure",
      { secure: true },
      false,
      `__Host-active-session=${value}; Path=/; HttpOnly; SameSite=Lax; Secure`,
    ],
    ["marked not secure", { secure: false }, true, `active-session=${value}; Path=/; HttpOnly; SameSite=Lax`],
    ["strict", { sameSite: "strict" }, false, `active-session=${value}; Path=/; HttpOnly; SameSite=Strict`],
    [
      "with everything chosen",
      { name: "sid", path: "/app", domain: "app.example", sameSite: "none", secure: true },
      true,
      `sid=${value}; Path=/app; Domain=app.example; HttpOnly; SameSite=None; Secure`,
    ],
  ];

  test.each(cases)("%s", (_, options, isHttps, header) => {
    expect(new SessionCookie(options, isHttps).serialize(value)).toBe(header);
  });
});

describe("options", () => {
  test.each<CookieOptions>([
    {},
    { name: "sid" },
    { name: "__Host-sid", secure: true },
    { sameSite: "strict", path: "/app", domain: "app.example", secure: false },
  ])("%j", (options) => {
    expect(() => checkCookieOptions(options)).not.toThrow();
  });

  test.each<[string, unknown]>([
    ["no object", null],
    ["a misspelt name", { samesite: "lax" }],
    ["an empty name", { name: "" }],
    ["a name with a space", { name: "my cookie" }],
    ["a name that ends the cookie", { name: "a;b" }],
    ["a name that is a pair", { name: "a=b" }],
    ["a name with a line break", { name: "a\r\nX: y" }],
    ["secure that is no boolean", { secure: "yes" }],
    ["an unknown sameSite", { sameSite: "Lax" }],
    ["a relative path", { path: "app" }],
    ["an empty path", { path: "" }],
    ["a path that adds an attribute", { path: "/; Domain=evil.example" }],
    ["a path with a line break", { path: "/\r\nX-Evil: 1" }],
    ["an empty domain", { domain: "" }],
    ["a domain that adds an attribute", { domain: "a.example; Path=/x" }],
    ["a domain with a line break", { domain: "a.example\nX: y" }],
  ])("%s is refused", (_, options) => {
    expect(() => checkCookieOptions(options as CookieOptions)).toThrow(
      expect.objectContaining({ code: "INVALID_OPTION" }),
    );
  });
});
