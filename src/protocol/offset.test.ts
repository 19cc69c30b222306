import fc from "fast-check";
import { expect, test } from "vitest";
import { formatOffset, parseOffset } from "./offset.js";

const position = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });

test.each([
  [0, "0000000000000000"],
  [7, "0000000000000007"],
  [1_234_567, "0000000001234567"],
  [Number.MAX_SAFE_INTEGER, "9007199254740991"],
])("position %d is written as 16 digits", (value, text) => {
  expect(formatOffset(value)).toBe(text);
});

test("every position survives the way over the wire", () => {
  fc.assert(fc.property(position, (value) => parseOffset(formatOffset(value)) === value));
});

test("the order of offsets as text is the order of their positions (P30)", () => {
  const byText = (a: number, b: number) => formatOffset(a) < formatOffset(b);
  fc.assert(fc.property(position, position, (a, b) => byText(a, b) === a < b));
});

test.each([
  ["0", 0],
  ["7", 7],
  ["007", 7],
  ["0000000000000000", 0],
  ["9007199254740991", Number.MAX_SAFE_INTEGER],
])("%s is read as a position", (text, value) => {
  expect(parseOffset(text)).toBe(value);
});

test.each([
  ...[
    "",
    " ",
    "-1",
    "+1",
    "-0",
    " 1",
    "1 ",
    "1\n",
    "1\r\n",
    "\u00001",
    "1.0",
    "1e3",
    "0x10",
    "0b1",
    "1_000",
    "1,2",
    "1n",
  ],
  ...[
    "now",
    "null",
    "NaN",
    "Infinity",
    "true",
    "[1]",
    "１",
    "١",
    "²",
    "0".repeat(17),
    "9".repeat(17),
    "1".repeat(5000),
  ],
  ...["9007199254740992", "9999999999999999"],
])("%j is no position", (text) => {
  expect(parseOffset(text)).toBeUndefined();
});
