import { beforeEach, expect, test, vi } from "vitest";
import { nextCursor } from "./cursor.js";

const epoch = Date.UTC(2024, 9, 9);
const interval = 1_000_000;

beforeEach(() => {
  vi.useFakeTimers({ now: epoch + interval * 20_000 });
});

test("is the number of the 20-second interval since the protocol's epoch (P58)", () => {
  expect(nextCursor(undefined)).toBe(String(interval));
  vi.setSystemTime(epoch + (interval + 1) * 20_000 - 1);
  expect(nextCursor(undefined)).toBe(String(interval));
  vi.setSystemTime(epoch + (interval + 1) * 20_000);
  expect(nextCursor(undefined)).toBe(String(interval + 1));
});

test.each([0, 1, interval - 1])("an echo of the past (%d) gives the present", (echoed) => {
  expect(nextCursor(echoed)).toBe(String(interval));
});

test.each([interval, interval + 1, interval + 500, 2 ** 50])("an echo of %d gives one strictly greater", (echoed) => {
  for (let i = 0; i < 200; i++) {
    const next = Number(nextCursor(echoed));
    expect(next).toBeGreaterThan(echoed);
    expect(next - echoed).toBeLessThanOrEqual(180); // an hour of intervals
  }
});

test("the jump behind an echo differs from time to time", () => {
  expect(new Set(Array.from({ length: 200 }, () => nextCursor(interval))).size).toBeGreaterThan(1);
});

test("an echo that no number can be added to gives a number all the same", () => {
  expect(nextCursor(Number.MAX_SAFE_INTEGER)).toMatch(/^\d+$/);
});
