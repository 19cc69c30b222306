import { describe, expect, test } from "vitest";
import { ActiveSessionError } from "../base/error.js";
import { parseAcknowledgement, parseReadQuery } from "./query.js";

const limits = { pageLimit: 500, longPollTimeout: 25 };
const parse = (query: string) => parseReadQuery(new URLSearchParams(query), limits);

/** The error that a query is refused with. */
function refusal(read: () => unknown): ActiveSessionError {
  try {
    read();
  } catch (error) {
    if (ActiveSessionError.is(error)) return error;
    throw error;
  }
  throw new Error("The query was accepted");
}

describe("what is left out", () => {
  test("a page begins at the beginning, and has the page limit", () => {
    expect(parse("")).toMatchObject({ live: "page", offset: "beginning", maxItems: 500, cursor: undefined });
  });

  test("a long-poll waits for one item, as long as the router says", () => {
    expect(parse("offset=0&live=long-poll")).toMatchObject({ live: "long-poll", minItems: 1, timeout: 25_000 });
  });

  test.each(["long-poll", "sse"])("%s needs an offset", (live) => {
    expect(refusal(() => parse(`live=${live}`))).toMatchObject({ code: "INVALID_ARGUMENT", status: 400 });
  });
});

describe("what is given", () => {
  test.each([
    ["offset=-1", "beginning"],
    ["offset=now", "tail"],
    ["offset=0", 0],
    ["offset=17", 17],
    ["offset=0000000000000017", 17],
    ["offset=9007199254740991", Number.MAX_SAFE_INTEGER],
    ["offset=%31%37", 17],
  ])("%s", (query, offset) => {
    expect(parse(query).offset).toBe(offset);
    expect(parse(`${query}&live=long-poll`).offset).toBe(offset);
    expect(parse(`${query}&live=sse`).offset).toBe(offset);
  });

  test.each([
    ["max-items=1", { maxItems: 1 }],
    ["max-items=500", { maxItems: 500 }],
    ["max-items=007", { maxItems: 7 }],
    ["min-items=10000", { minItems: 10_000 }],
    ["timeout=0", { timeout: 0 }],
    ["timeout=60", { timeout: 60_000 }],
    ["cursor=17", { cursor: 17 }],
    ["utm_source=x&another=y", { minItems: 1, maxItems: 500 }],
  ])("long-poll with %s", (query, expected) => {
    expect(parse(`offset=0&live=long-poll&${query}`)).toMatchObject(expected);
  });

  test.each(["", "x", "-1", "1.5", "9".repeat(40)])("a cursor %j that we cannot have made is ignored", (cursor) => {
    expect(parse(`cursor=${cursor}`).cursor).toBeUndefined();
  });
});

describe("what is refused", () => {
  const badOffsets = [
    "",
    "+1",
    "%201",
    "1%20",
    "-2",
    "-",
    "1.0",
    "1e3",
    "0x1",
    "NOW",
    "Now",
    "null",
    "undefined",
    "NaN",
  ];
  const hugeOffsets = [
    "9007199254740992",
    "99999999999999999",
    "1".repeat(5000),
    "Infinity",
    "%00",
    "%EF%BC%91",
    "1_0",
  ];

  test.each([...badOffsets, ...hugeOffsets])("the offset %j, in every mode", (offset) => {
    for (const live of ["", "&live=long-poll", "&live=sse"]) {
      const error = refusal(() => parse(`offset=${offset}${live}`));
      expect(error).toMatchObject({ code: "INVALID_ARGUMENT", status: 400 });
      expect(error.message).toMatch(/^Cannot answer: the parameter offset must be .+, received .+[^.]$/);
    }
  });

  test.each(["", "page", "SSE", "true", "0", "long_poll", "longpoll", "sse%20", "__proto__", "constructor"])(
    "live=%s",
    (live) => {
      expect(refusal(() => parse(`offset=0&live=${live}`)).code).toBe("INVALID_ARGUMENT");
    },
  );

  const badNumbers = ["", "-1", "+1", "1.5", "1e2", "0x5", "abc", "NaN", "Infinity", "%201", "9".repeat(400), "%D9%A1"];

  test.each(badNumbers)("max-items, min-items and timeout %j", (value) => {
    for (const name of ["max-items", "min-items", "timeout"]) {
      const error = refusal(() => parse(`offset=0&live=long-poll&${name}=${value}`));
      expect(error.code).toBe("INVALID_ARGUMENT");
      expect(error.message).toContain(`the parameter ${name} must be`);
    }
  });

  test.each(["max-items=0", "max-items=501", "min-items=0", "min-items=10001", "timeout=61", "timeout=99999999999"])(
    "%s, which is out of its range",
    (query) => {
      expect(refusal(() => parse(`offset=0&live=long-poll&${query}`)).code).toBe("INVALID_ARGUMENT");
    },
  );

  test.each(["", "&live=sse"])("max-items out of its range in a request%s", (live) => {
    expect(refusal(() => parse(`offset=0&max-items=501${live}`)).code).toBe("INVALID_ARGUMENT");
    expect(refusal(() => parse(`offset=0&max-items=0${live}`)).code).toBe("INVALID_ARGUMENT");
  });

  test.each(["offset=0", "live=long-poll", "max-items=5", "min-items=5", "timeout=5"])("%s given twice", (pair) => {
    const query = `offset=0&live=long-poll&${pair}${pair.startsWith("offset") || pair.startsWith("live") ? "" : `&${pair}`}`;
    expect(refusal(() => parse(query))).toMatchObject({ code: "INVALID_ARGUMENT", status: 400 });
  });

  test("an error message shows only the beginning of a long value", () => {
    expect(refusal(() => parse(`offset=${"7".repeat(10_000)}`)).message.length).toBeLessThan(250);
  });
});

describe("an acknowledgement", () => {
  const acknowledgement = (query: string) => parseAcknowledgement(new URLSearchParams(query));

  test.each([
    ["offset=0", { position: 0, response: undefined, closed: false }],
    ["offset=0000000000000042&response=x", { position: 42, response: "x", closed: false }],
    ["offset=7&closed=true", { position: 7, response: undefined, closed: true }],
  ])("%s", (query, parsed) => {
    expect(acknowledgement(query)).toEqual(parsed);
  });

  test.each(["", "offset=", "offset=-1", "offset=now", "offset=x", "offset=1&offset=1", "offset=9007199254740992"])(
    "%j names no position",
    (query) => {
      expect(refusal(() => acknowledgement(query))).toMatchObject({ code: "INVALID_ARGUMENT", status: 400 });
    },
  );
});
