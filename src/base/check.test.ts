import { describe, expect, test } from "vitest";
import { checkDuration, checkFunction, checkInteger, checkOptions } from "./check.js";

describe("checkInteger", () => {
  test.each([
    [0, {}],
    [1, { min: 1 }],
    [5, { min: 1, max: 5 }],
    [Number.MAX_SAFE_INTEGER, {}],
    [Number.POSITIVE_INFINITY, {}],
  ])("accepts %s within %o", (value, range) => {
    expect(() => checkInteger("count", "n", value, range)).not.toThrow();
  });

  test.each([
    [-1, {}],
    [0, { min: 1 }],
    [6, { min: 1, max: 5 }],
    [1.5, {}],
    [Number.NaN, {}],
    ["1", {}],
    [1n, {}],
    [null, {}],
    [undefined, {}],
    [2 ** 53, {}],
    [Number.POSITIVE_INFINITY, { max: 10 }],
    [Number.NEGATIVE_INFINITY, {}],
  ])("refuses %s within %o", (value, range) => {
    expect(() => checkInteger("count", "n", value, range)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT" }),
    );
  });

  test("names action, argument, range and value, and uses the code it is given", () => {
    const check = () => checkInteger("count sheep", "sheep", "many", { min: 1, max: 9, code: "INVALID_OPTION" });
    expect(check).toThrow(
      expect.objectContaining({
        code: "INVALID_OPTION",
        message: 'Cannot count sheep: sheep must be an integer from 1 to 9, received "many"',
      }),
    );
    expect(() => checkInteger("count sheep", "sheep", -1)).toThrow(
      "sheep must be an integer of at least 0, received -1",
    );
  });
});

describe("checkDuration", () => {
  test.each([1, 0.5, 2 ** 40, Number.POSITIVE_INFINITY])("accepts %s", (value) => {
    expect(() => checkDuration("wait", "timeout", value)).not.toThrow();
  });

  test.each([0, -1, Number.NaN, "5", null, undefined, {}])("refuses %s", (value) => {
    expect(() => checkDuration("wait", "timeout", value)).toThrow(
      expect.objectContaining({
        code: "INVALID_OPTION",
        message: expect.stringContaining("Cannot wait: timeout must be"),
      }),
    );
  });
});

describe("checkFunction", () => {
  test("accepts a function and undefined", () => {
    expect(() => checkFunction("run", "body", () => {})).not.toThrow();
    expect(() => checkFunction("run", "body", undefined)).not.toThrow();
  });

  test.each([null, 1, "f", {}])("refuses %s", (value) => {
    expect(() => checkFunction("run", "body", value)).toThrow(
      expect.objectContaining({ code: "INVALID_OPTION", message: expect.stringContaining("body must be a function") }),
    );
  });
});

describe("checkOptions", () => {
  test("accepts an object with none but known keys", () => {
    expect(() => checkOptions("open", { a: 1 }, ["a", "b"])).not.toThrow();
    expect(() => checkOptions("open", {}, ["a"])).not.toThrow();
  });

  test("refuses a misspelt option and names those that exist", () => {
    expect(() => checkOptions("open", { timeuot: 1 }, ["timeout", "retain"])).toThrow(
      expect.objectContaining({
        code: "INVALID_OPTION",
        message: 'Cannot open: an option must be one of timeout, retain, received "timeuot"',
      }),
    );
  });

  test.each([null, undefined, 5, "x", () => {}])("refuses %s in place of options", (value) => {
    expect(() => checkOptions("open", value, [])).toThrow(
      expect.objectContaining({
        code: "INVALID_OPTION",
        message: expect.stringContaining("options must be an object"),
      }),
    );
  });
});
