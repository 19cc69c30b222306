import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { openHost } from "../../test/support/control.js";
import { parseRunnerKey } from "./runner-key.js";

const id = "xa2r2FlRNUU3lwM5U57jMw";

describe("reading a runner key", () => {
  it("takes number, generation, session id and suffix apart (parity 187, 188)", () => {
    expect(parseRunnerKey(`42-1700000000000-${id}`)).toEqual({
      number: 42,
      generation: 1_700_000_000_000,
      sessionId: id,
      suffix: undefined,
    });
    expect(parseRunnerKey(`0-1-${id}.tab-2`)).toEqual({
      number: 0,
      generation: 1,
      sessionId: `${id}.tab-2`,
      suffix: "tab-2",
    });
  });

  it("is not confused by dashes, underscores and digits in id and suffix", () => {
    const dashed = "-1-2-3-----_____------";
    expect(parseRunnerKey(`7-8-${dashed}.-9-9-`)).toEqual({
      number: 7,
      generation: 8,
      sessionId: `${dashed}.-9-9-`,
      suffix: "-9-9-",
    });
  });

  it("takes the largest safe integers", () => {
    const largest = Number.MAX_SAFE_INTEGER;
    expect(parseRunnerKey(`${largest}-${largest}-${id}`)).toMatchObject({ number: largest, generation: largest });
  });

  it.each([
    ["nothing at all", ""],
    ["a leading zero in the number", `01-5-${id}`],
    ["two zeros as number", `00-5-${id}`],
    ["a leading zero in the generation", `1-05-${id}`],
    ["the generation 0", `1-0-${id}`],
    ["a newline at the end", `1-5-${id}\n`],
    ["a newline at the beginning", `\n1-5-${id}`],
    ["a second line", `1-5-${id}\n1-5-${id}`],
    ["a blank before", ` 1-5-${id}`],
    ["a blank after", `1-5-${id} `],
    ["a blank within", `1- 5-${id}`],
    ["a plus sign", `+1-5-${id}`],
    ["a negative number", `-1-5-${id}`],
    ["a fraction", `1.0-5-${id}`],
    ["an exponent", `1e1-5-${id}`],
    ["a hexadecimal number", `0x1-5-${id}`],
    ["an unsafe number", `9007199254740992-5-${id}`],
    ["an unsafe generation", `1-9007199254740992-${id}`],
    ["a number of 17 digits", `10000000000000000-5-${id}`],
    ["digits of another script", `١-5-${id}`],
    ["full-width digits", `１-5-${id}`],
    ["another separator", `1_5_${id}`],
    ["a missing number", `-5-${id}`],
    ["a missing generation", `1--${id}`],
    ["a missing id", "1-5-"],
    ["only two parts", "1-5"],
    ["an id that is too short", `1-5-${id.slice(1)}`],
    ["an id that is too long", `1-5-${id}A`],
    ["an id in plain base64", `1-5-${`${id.slice(2)}+/`}`],
    ["an id with padding", `1-5-${id.slice(1)}=`],
    ["an id with letters beyond ASCII", `1-5-${id.slice(1)}é`],
    ["an empty suffix", `1-5-${id}.`],
    ["two suffixes", `1-5-${id}.a.b`],
    ["a suffix beyond 64 signs", `1-5-${id}.${"x".repeat(65)}`],
    ["a suffix with a slash", `1-5-${id}.a/b`],
    ["percent encoding, which is not decoded", `1-5-${id}%2Ea`],
    ["a percent-encoded number", `%31-5-${id}`],
    ["a zero byte at the end", `1-5-${id}\0`],
  ])("refuses %s (parity 188, 190)", (_what, text) => {
    expect(parseRunnerKey(text)).toBeUndefined();
  });

  it("takes only texts that are the one form of what they say (parity 190)", () => {
    const near = fc
      .tuple(
        fc.stringMatching(/^[0-9]{1,17}$/),
        fc.stringMatching(/^[0-9]{1,17}$/),
        fc.stringMatching(/^[\w-]{21,23}$/),
      )
      .map((parts) => parts.join("-"));
    const suffixed = fc.tuple(near, fc.stringMatching(/^[\w.-]{0,4}$/)).map((parts) => parts.join("."));
    fc.assert(
      fc.property(fc.oneof(fc.string(), near, suffixed), (text) => {
        const key = parseRunnerKey(text);
        if (key) expect(`${key.number}-${key.generation}-${key.sessionId}`).toBe(text);
      }),
    );
  });

  it("reads every key that a runner has, with or without suffix (parity 189)", async () => {
    const host = openHost();
    for (const suffix of [undefined, "tab-2", "-", "x".repeat(64)]) {
      const session = await host.get("alice", suffix);
      const runner = await session.createSequenceRunner([1]);
      expect(parseRunnerKey(runner.key)).toEqual({
        number: runner.number,
        generation: session.generation,
        sessionId: session.id,
        suffix,
      });
      expect(encodeURIComponent(runner.key)).toBe(runner.key);
    }
  });
});
