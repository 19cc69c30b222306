import { describe, expect, it, vi } from "vitest";
import { isPending } from "../../test/support/control.js";
import { createDeferred } from "../base/async.js";
import { type Scope, scopeSelector } from "./scopes.js";

interface Request {
  readonly user?: string;
}

/** Asks the scopes of a request to a path; with what they warned of. */
async function ask(scopes: readonly Scope<Request>[] | undefined, path: string, request: Request = {}) {
  const warnings: [string, object][] = [];
  const select = scopeSelector<Request>(scopes);
  const selection = await select(request, path, (message, details) => warnings.push([message, details]));
  return { selection, warnings };
}

/** What the scopes come to, in short: the suffix, `""` for none, `undefined` when the request has no session. */
async function suffixFor(scopes: readonly Scope<Request>[] | undefined, path: string, request: Request = {}) {
  const { selection, warnings } = await ask(scopes, path, request);
  expect(warnings).toEqual([]);
  return selection && (selection.suffix ?? "");
}

describe("a path", () => {
  it.each([
    ["/shop", "/shop", true],
    ["/shop", "/shop/", true],
    ["/shop", "/shop/cart/1", true],
    ["/shop", "/shopping", false],
    ["/shop", "/", false],
    ["/shop", "/my/shop", false],
    ["/shop", "/Shop", false],
    ["/shop/", "/shop", true],
    ["/shop/", "/shop/cart", true],
    ["/", "/", true],
    ["/", "/anything/at/all", true],
    ["/*/cart", "/shop/cart", true],
    ["/*/cart", "/shop/cart/1", true],
    ["/*/cart", "/cart", false],
    ["/*/cart", "/a/b/cart", false],
    ["/shop/*/edit", "/shop/17/edit", true],
    ["/shop/*/edit", "/shop/17", false],
    ["/shop/*", "/shop/17", true],
    ["/shop/*", "/shop", false],
    ["/a.c", "/abc", false],
    ["/caf\u00e9", "/caf%C3%A9", true],
    ["/a b", "/a%20b/c", true],
  ])("%j takes %j: %s (parity 169, 179)", async (when, path, isTaken) => {
    expect(await suffixFor([{ when, suffix: "s" }], path)).toBe(isTaken ? "s" : undefined);
  });
});

describe("a regular expression", () => {
  it.each([
    [/^\/shop\//, "/shop/cart", true],
    [/^\/shop\//, "/Shop/cart", false],
    [/^\/shop\//i, "/Shop/cart", true],
    [/cart$/, "/shop/cart", true],
    [/^\/caf\u00e9$/, "/caf%C3%A9", true],
    [/%/, "/caf%C3%A9", false],
    [/^\/a b$/, "/a%20b", true],
  ])("%s sees the decoded path %j: %s (parity 169, 179)", async (when, path, isTaken) => {
    expect(await suffixFor([{ when, suffix: "s" }], path)).toBe(isTaken ? "s" : undefined);
  });

  it.each([
    ["/shop", "/shop%2Fx", false],
    ["/shop/*", "/shop/", false],
    ["/shop/*", "/shop", false],
    ["/shop/*/x", "/shop/a%2Fb/x", true],
    ["/sh op", "/sh%20op/x", true],
  ])(
    "%s compares segments, of which an encoded slash is a part: %s is taken: %s (parity 179)",
    async (when, path, isTaken) => {
      const selection = await scopeSelector([{ when }])({}, path, () => {});
      expect(selection !== undefined).toBe(isTaken);
    },
  );

  it("sees a path that cannot be decoded as it came (parity 179)", async () => {
    expect(await suffixFor([{ when: /^\/%E0%A4%A$/ }], "/%E0%A4%A")).toBe("");
    expect(await suffixFor([{ when: "/%E0%A4%A" }], "/%E0%A4%A/more")).toBe("");
  });

  it.each(["g", "y", "gy"])("with the flags %s answers each request alike", async (flags) => {
    const select = scopeSelector<Request>([{ when: new RegExp("/shop", flags) }]);
    for (let i = 0; i < 3; i++) expect(await select({}, "/shop", vi.fn())).toEqual({ suffix: undefined });
  });
});

describe("a function", () => {
  const isAnn = ({ user }: Request) => user === "ann";

  it.each([
    [true, ""],
    [false, undefined],
    ["tab", "tab"],
    ["", ""],
    [undefined, undefined],
    [null, undefined],
    [0, undefined],
    [{}, ""],
  ])("that answers %j, at once or later, gives %j (parity 169, 171)", async (answer, suffix) => {
    expect(await suffixFor([{ when: () => answer }], "/")).toBe(suffix);
    expect(await suffixFor([{ when: async () => answer }], "/")).toBe(suffix);
  });

  it("is given the request, and its scope's suffix holds when it accepts without one (parity 169)", async () => {
    const scopes = [{ when: isAnn, suffix: "s" }];
    expect(await suffixFor(scopes, "/", { user: "ann" })).toBe("s");
    expect(await suffixFor(scopes, "/", { user: "bob" })).toBeUndefined();
  });

  it("that answers a text beats its scope's suffix, also with the empty text (parity 169, 171)", async () => {
    expect(await suffixFor([{ when: () => "own", suffix: "s" }], "/")).toBe("own");
    expect(await suffixFor([{ when: () => "", suffix: "s" }], "/")).toBe("");
  });

  it("is waited for before the next scope is asked", async () => {
    const gate = createDeferred<boolean>();
    const next = vi.fn(() => "next");
    const selection = suffixFor([{ when: () => gate.promise }, { when: next }], "/");
    expect(await isPending(selection)).toBe(true);
    expect(next).not.toHaveBeenCalled();
    gate.resolve(false);
    expect(await selection).toBe("next");
  });
});

describe("a scope that fails", () => {
  const error = new Error("no database");
  it.each([
    [
      "throws",
      () => {
        throw error;
      },
      error,
    ],
    ["rejects", () => Promise.reject(error), error],
    ["gives a suffix that cannot be one", () => "a#1-2", expect.objectContaining({ code: "INVALID_ARGUMENT" })],
    [
      "gives a suffix that is too long",
      async () => "x".repeat(65),
      expect.objectContaining({ code: "INVALID_ARGUMENT" }),
    ],
  ])(
    "because it %s accepts nothing and is reported; the next one is asked (parity 121, 179)",
    async (_how, when, why) => {
      const alone = await ask([{ when, suffix: "s" }], "/");
      expect(alone.selection).toBeUndefined();
      const followed = await ask([{ when: "/no" }, { when }, { when: "/", suffix: "next" }], "/");
      expect(followed.selection).toEqual({ suffix: "next" });
      expect(followed.warnings).toEqual([["a scope failed and accepts nothing", { scope: 1, error: why }]]);
    },
  );

  it("after one that has accepted takes nothing back (parity 179)", async () => {
    const { selection, warnings } = await ask([{ when: "/" }, { when: () => Promise.reject(error) }], "/");
    expect(selection).toEqual({ suffix: undefined });
    expect(warnings).toHaveLength(1);
  });
});

describe("of several scopes", () => {
  it("none accepts: the request has no session (parity 170)", async () => {
    expect(
      await suffixFor([{ when: "/a" }, { when: /^\/b/, suffix: "s" }, { when: () => false }], "/c"),
    ).toBeUndefined();
    expect(await suffixFor([], "/")).toBeUndefined();
  });

  it("there are none: every request has the session without a suffix (parity 170)", async () => {
    expect(await suffixFor(undefined, "/any")).toBe("");
  });

  it("the suffix is that of the first accepting one that supplies one (parity 171)", async () => {
    const scopes: Scope<Request>[] = [
      { when: "/no", suffix: "not-accepted" },
      { when: "/" },
      { when: () => true },
      { when: "/", suffix: "third" },
      { when: "/", suffix: "fourth" },
    ];
    expect(await suffixFor(scopes, "/yes")).toBe("third");
  });

  it("the empty text ends the search and means none (parity 171)", async () => {
    expect(
      await suffixFor(
        [
          { when: "/", suffix: "" },
          { when: "/", suffix: "later" },
        ],
        "/",
      ),
    ).toBe("");
    expect(await suffixFor([{ when: () => "" }, { when: "/", suffix: "later" }], "/")).toBe("");
    expect(
      await suffixFor(
        [
          { when: "/no", suffix: "" },
          { when: "/", suffix: "later" },
        ],
        "/",
      ),
    ).toBe("later");
    expect((await ask([{ when: "/", suffix: "" }], "/")).selection).toEqual({ suffix: undefined });
  });

  it("one that accepts without a suffix is enough for the session without one (parity 171)", async () => {
    expect(await suffixFor([{ when: "/" }, { when: "/no", suffix: "s" }], "/yes")).toBe("");
  });

  it("those behind the one that supplied the suffix are not asked (parity 172)", async () => {
    const behind = vi.fn();
    expect(await suffixFor([{ when: "/", suffix: "s" }, { when: behind }], "/")).toBe("s");
    expect(await suffixFor([{ when: () => "t" }, { when: behind, suffix: "u" }], "/")).toBe("t");
    expect(behind).not.toHaveBeenCalled();
  });

  /** A regular expression that counts how often it was asked. */
  class CountedExpression extends RegExp {
    asked = 0;

    override [Symbol.search](text: string): number {
      this.asked++;
      return super[Symbol.search](text);
    }
  }

  it("once one has accepted, those that are left are asked only if one of them could supply a suffix (parity 172)", async () => {
    const [first, second] = [new CountedExpression("/"), new CountedExpression("/")];
    expect(await suffixFor([{ when: first }, { when: second }], "/")).toBe("");
    expect([first.asked, second.asked]).toEqual([1, 0]);
    const last = vi.fn(() => false);
    expect(await suffixFor([{ when: first }, { when: second }, { when: last }], "/")).toBe("");
    expect([first.asked, second.asked, last.mock.calls.length]).toEqual([2, 1, 1]);
    const behind = new CountedExpression("/");
    expect(await suffixFor([{ when: first }, { when: "/no", suffix: "s" }, { when: behind }], "/")).toBe("");
    expect(behind.asked).toBe(0);
  });

  it("each is asked as long as none has accepted (parity 172)", async () => {
    const asked: number[] = [];
    const no = (n: number) => () => {
      asked.push(n);
      return false;
    };
    expect(await suffixFor([{ when: no(1) }, { when: no(2) }, { when: "/" }], "/")).toBe("");
    expect(asked).toEqual([1, 2]);
  });
});

describe("scopes are refused at once", () => {
  it.each([
    ["are no array", "/shop"],
    ["are no array", {}],
    ["have one that is no object", ["/shop"]],
    ["have one that says nothing", [{}]],
    ["have one whose path is relative", [{ when: "shop" }]],
    ["have one whose path is empty", [{ when: "" }]],
    ["have one whose when is a number", [{ when: 5 }]],
    ["have one whose when is null", [{ when: null }]],
    ["have one with a misspelt option", [{ when: "/", sufix: "s" }]],
    ["have one whose suffix cannot be one", [{ when: "/", suffix: "a#1-2" }]],
    ["have one whose suffix has a dot", [{ when: "/", suffix: "a.b" }]],
    ["have one whose suffix is too long", [{ when: "/", suffix: "x".repeat(65) }]],
    ["have one whose suffix is no text", [{ when: "/", suffix: 5 }]],
  ])("if they %s: INVALID_OPTION (parity 121)", (_why, scopes) => {
    expect(() => scopeSelector(scopes as never)).toThrow(expect.objectContaining({ code: "INVALID_OPTION" }));
  });
});
