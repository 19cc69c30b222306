import { expect, describe as group, test } from "vitest";
import { ActiveSessionError, describe, runnerFailed } from "./error.js";

group("ActiveSessionError", () => {
  test("carries a stable code and the HTTP status that fits it", () => {
    const error = new ActiveSessionError("POSITION_GONE", "Cannot read", { firstPosition: 4 });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({
      name: "ActiveSessionError",
      code: "POSITION_GONE",
      status: 410,
      firstPosition: 4,
      message: "Cannot read",
    });
  });

  test.each([
    ["POSITION_AHEAD", 400],
    ["READ_CONFLICT", 409],
    ["RUNNER_NOT_FOUND", 404],
    ["RUNNER_GONE", 410],
    ["RUNNER_FAILED", 500],
    ["CROSS_SITE_REQUEST", 403],
  ] as const)("%s has the status %i", (code, status) => {
    expect(new ActiveSessionError(code, "x").status).toBe(status);
  });

  test("is recognised by its name, also when it comes from a second copy of the package", () => {
    const foreign = Object.assign(new Error("x"), { name: "ActiveSessionError", code: "HOST_CLOSED" });
    expect(ActiveSessionError.is(new ActiveSessionError("HOST_CLOSED", "x"))).toBe(true);
    expect(ActiveSessionError.is(foreign)).toBe(true);
  });

  test.each([null, undefined, "HOST_CLOSED", { code: "HOST_CLOSED" }, new Error("x"), ActiveSessionError])(
    "%s is none",
    (value) => {
      expect(ActiveSessionError.is(value)).toBe(false);
    },
  );

  test("is not what an application may throw, however odd", () => {
    const trap = {
      get name(): string {
        throw new Error("trapped");
      },
    };
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    for (const value of [trap, proxy]) expect(ActiveSessionError.is(value)).toBe(false);
  });

  test("has no cause unless it was given one, which may be undefined", () => {
    expect("cause" in new ActiveSessionError("HOST_CLOSED", "x")).toBe(false);
    expect("cause" in new ActiveSessionError("HOST_CLOSED", "x", { cause: undefined })).toBe(true);
  });

  test("does not list its cause among its properties", () => {
    const error = new ActiveSessionError("HOST_CLOSED", "x", { cause: "secret" });
    expect(error.cause).toBe("secret");
    expect(Object.keys(error)).not.toContain("cause");
    expect(JSON.stringify({ ...error })).not.toContain("secret");
  });
});

group("a runner's failure", () => {
  test("keeps the original as its cause and gives away nothing of it", () => {
    const cause = new Error("password is hunter2");
    const error = runnerFailed(cause);
    expect(error.code).toBe("RUNNER_FAILED");
    expect(error.cause).toBe(cause);
    expect(JSON.parse(JSON.stringify({ error }))).toEqual({
      error: { code: "RUNNER_FAILED", message: "The runner failed" },
    });
    expect(JSON.stringify({ ...error })).not.toContain("hunter2");
  });

  test("passes the message on when the original is marked with a true expose", () => {
    const cause = Object.assign(new Error("The file is empty"), { expose: true });
    expect(JSON.parse(JSON.stringify(runnerFailed(cause)))).toEqual({
      code: "RUNNER_FAILED",
      message: "The file is empty",
    });
  });

  test.each([
    ["only truthy", Object.assign(new Error("inner"), { expose: 1 })],
    ["false", Object.assign(new Error("inner"), { expose: false })],
    ["set without a text", { expose: true, message: 5 }],
  ])("does not pass it on when expose is %s", (_, cause) => {
    expect(runnerFailed(cause).message).toBe("The runner failed");
  });

  test("survives whatever was thrown", () => {
    const trap = {
      get expose(): boolean {
        throw new Error("trap");
      },
    };
    const revoked = Proxy.revocable({}, {});
    revoked.revoke();
    for (const cause of [undefined, null, 5, "text", trap, revoked.proxy]) {
      const error = runnerFailed(cause);
      expect(error.message).toBe("The runner failed");
      expect(error.cause).toBe(cause);
    }
  });
});

group("describe", () => {
  test.each([
    ["text", '"text"'],
    [5, "5"],
    [undefined, "undefined"],
    [null, "null"],
    [12n, "12"],
    [Symbol("s"), "Symbol(s)"],
    [{}, "an object"],
    [[], "an array"],
    [() => {}, "a function"],
  ])("%s", (value, text) => {
    expect(describe(value)).toBe(text);
  });

  test("cuts a long text and never calls a foreign toString", () => {
    expect(describe("x".repeat(1000)).length).toBeLessThan(70);
    const rude = {
      toString() {
        throw new Error("called");
      },
    };
    expect(describe(rude)).toBe("an object");
  });
});
