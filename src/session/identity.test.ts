import { describe, expect, it } from "vitest";
import { checkSuffix, sessionIdFor, tagIdentity } from "./identity.js";

describe("tagging an identity", () => {
  it.each(["user", "session", "cookie"] as const)("names its source: %s", (source) => {
    expect(tagIdentity(source, "7")).toBe(`${source}:7`);
  });

  it("never makes the same text of two sources, even if the identity itself looks like a tag", () => {
    const asCookie = tagIdentity("cookie", "user:7");
    const asUser = tagIdentity("user", "7");
    expect(asCookie).not.toBe(asUser);
    expect(tagIdentity("user", "cookie:7")).not.toBe(tagIdentity("cookie", "7"));
  });

  it.each([
    ["the empty string", ""],
    ["undefined", undefined],
    ["null", null],
    ["a number", 17],
    ["zero", 0],
    ["a boolean", true],
    ["an object", { id: "7" }],
    ["an array with a string", ["7"]],
    ["a String object", Object("7")],
    ["a symbol", Symbol("7")],
    ["a function", () => "7"],
  ])("refuses %s with INVALID_IDENTITY", (_what, identity) => {
    expect(() => tagIdentity("user", identity)).toThrow(
      expect.objectContaining({ code: "INVALID_IDENTITY", status: 500, name: "ActiveSessionError" }),
    );
  });

  it("says what is wrong in the library's form", () => {
    expect(() => tagIdentity("user", 17)).toThrow(
      "Cannot find a session: the identity must be a non-empty string of whole characters, received 17",
    );
  });

  it.each([" ", "\n", "ä", "a".repeat(10_000), "null", "undefined"])(
    "takes any other text as it is: %j",
    (identity) => {
      expect(tagIdentity("user", identity)).toBe(`user:${identity}`);
    },
  );
});

describe("a suffix", () => {
  it.each([undefined, "a", "Z", "0", "_", "-", "tab-2", "A_b-9", "x".repeat(64)])("may be %j", (suffix) => {
    expect(() => checkSuffix(suffix)).not.toThrow();
  });

  it.each([
    ["empty", ""],
    ["longer than 64", "x".repeat(65)],
    ["with a dot", "a.b"],
    ["with a colon", "a:b"],
    ["with the key's own signs", "a#1-2"],
    ["with a blank", "a b"],
    ["with a newline at the end", "a\n"],
    ["with a letter beyond ASCII", "ä"],
    ["with a percent sign", "%41"],
    ["null", null],
    ["a number", 1],
    ["an object", { toString: () => "a" }],
    ["an array", ["a"]],
  ])("is refused with INVALID_ARGUMENT: %s (parity 121)", (_what, suffix) => {
    expect(() => checkSuffix(suffix)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT", status: 400 }));
  });
});

describe("a session's id", () => {
  it("is the first 128 bits of the HMAC-SHA-256 of the tagged identity, as base64url", () => {
    // printf 'user:alice' | openssl dgst -sha256 -hmac 'a secret' -binary | head -c16 | base64
    expect(sessionIdFor("a secret", "user:alice", undefined)).toBe("xa2r2FlRNUU3lwM5U57jMw");
  });

  it("ends with a dot and the suffix, if there is one, and is the same before it", () => {
    expect(sessionIdFor("a secret", "user:alice", "tab-2")).toBe("xa2r2FlRNUU3lwM5U57jMw.tab-2");
  });

  it("is the same for a secret of text and one of the same bytes", () => {
    const bytes = new TextEncoder().encode("a secret");
    expect(sessionIdFor(bytes, "user:alice", undefined)).toBe(sessionIdFor("a secret", "user:alice", undefined));
  });

  it("differs with the secret, the identity and the identity's source", () => {
    const ids = [
      sessionIdFor("a secret", "user:alice", undefined),
      sessionIdFor("another secret", "user:alice", undefined),
      sessionIdFor("a secret", "user:bob", undefined),
      sessionIdFor("a secret", "cookie:alice", undefined),
      sessionIdFor("a secret", "session:alice", undefined),
    ];
    expect(new Set(ids).size).toBe(5);
    for (const id of ids) expect(id).toMatch(/^[A-Za-z0-9_-]{22}$/);
  });
});
