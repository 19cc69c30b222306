import { createParser } from "eventsource-parser";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { inputs } from "../../test/support/fuzz.js";
import { formatSse, sseComment, sseParser } from "./sse.js";

interface Event {
  readonly type: string;
  readonly data: string;
}

/** What comes of bytes that arrive in pieces, decoded as a connection decodes them. */
function parse(pieces: readonly Uint8Array[]): Event[] {
  const events: Event[] = [];
  const decoder = new TextDecoder();
  const parse = sseParser();
  const take = (piece: string) => events.push(...parse(piece));
  for (const piece of pieces) take(decoder.decode(piece, { stream: true }));
  return events;
}

/** What comes of a text in one piece. */
const eventsOf = (text: string) => parse([new TextEncoder().encode(text)]);

/** What another implementation of the standard makes of the same bytes in one piece. */
function reference(bytes: Uint8Array): Event[] {
  const events: Event[] = [];
  const parser = createParser({ onEvent: ({ event = "", data }) => events.push({ type: event, data }) });
  const text = new TextDecoder().decode(bytes, { stream: true });
  parser.feed(text);
  // It waits for what follows a CR before it ends the line; LF is what changes nothing.
  if (text.endsWith("\r")) parser.feed("\n");
  return events;
}

/** The bytes in pieces that are cut at these places; a place that is named twice leaves an empty piece. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const ends = places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b);
  return [...ends, bytes.length].map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end));
}

const lineEnds = ["\n", "\r", "\r\n", "\n\n", "\r\r", "\r\n\r\n", "\n\r", "\r\n\n"];
const fields = [
  "data",
  "data:",
  "data: ",
  "data:  ",
  "event:",
  "event: control",
  "event",
  "id: 7",
  "retry: 5",
  "Data:",
];
const others = [
  ":",
  " ",
  ": ",
  ":\n",
  "x",
  "[1,2]",
  "ä",
  "日本",
  "🙂",
  "\uFEFF",
  "\0",
  "\u2028",
  "\u0085",
  "dat",
  "a:",
];
const word = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...lineEnds) },
  { weight: 4, arbitrary: fc.constantFrom(...fields) },
  { weight: 2, arbitrary: fc.constantFrom(...others) },
);
/** Texts made of what matters to the format. */
const streamBytes = fc.array(word, { maxLength: 60 }).map((words) => new TextEncoder().encode(words.join("")));
const anyBytes = fc.oneof({ weight: 5, arbitrary: streamBytes }, { weight: 1, arbitrary: fc.uint8Array() });
const places = fc.array(fc.nat({ max: 2000 }), { maxLength: 40 });

afterEach(() => {
  vi.restoreAllMocks();
});

describe("any bytes", () => {
  test("in one piece give the events that the reference gives", () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        expect(parse([bytes])).toEqual(reference(bytes));
      }),
      { numRuns: inputs(15_000) },
    );
  });

  test("cut anywhere give the events that they give in one piece", () => {
    fc.assert(
      fc.property(anyBytes, places, (bytes, places) => {
        expect(parse(cut(bytes, places))).toEqual(reference(bytes));
      }),
      { numRuns: inputs(15_000) },
    );
  });

  test("byte by byte give the events that they give in one piece", () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        expect(parse(Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(reference(bytes));
      }),
      { numRuns: inputs(5_000) },
    );
  });
});

describe("a line", () => {
  test.each([
    ["LF", "\n"],
    ["CR", "\r"],
    ["CRLF", "\r\n"],
  ])("may end with %s", (_name, end) => {
    const text = ["event: data", "data: 1", "data: 2", "", "data: 3", "", ""].join(end);
    const events = [
      { type: "data", data: "1\n2" },
      { type: "", data: "3" },
    ];
    expect(eventsOf(text)).toEqual(events);
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at <= bytes.length; at++) expect(parse(cut(bytes, [at])), `cut at ${at}`).toEqual(events);
  });

  test("that ends with CR ends at once, without waiting for an LF that may never come", () => {
    expect(eventsOf("data: 1\r\r")).toEqual([{ type: "", data: "1" }]);
  });

  test("ends once with CR | LF in two pieces, also with an empty piece between them", () => {
    for (const pieces of [
      ["data: 1\r", "\ndata: 2\r", "\n\r", "\n"],
      ["data: 1\r", "", "\ndata: 2\r", "", "", "\n\r", "", "\n"],
    ]) {
      const encoded = pieces.map((piece) => new TextEncoder().encode(piece));
      expect(parse(encoded), JSON.stringify(pieces)).toEqual([{ type: "", data: "1\n2" }]);
    }
  });

  test("ends twice with CR | CR and LF | LF", () => {
    for (const end of ["\r", "\n"]) {
      const pieces = [`data: 1${end}`, end, `data: 2${end}`, end].map((piece) => new TextEncoder().encode(piece));
      expect(parse(pieces)).toEqual([
        { type: "", data: "1" },
        { type: "", data: "2" },
      ]);
    }
  });

  test.each(["\u2028", "\u2029", "\u0085", "\v", "\f"])("does not end with %j", (char) => {
    expect(eventsOf(`data: a${char}b\n\n`)).toEqual([{ type: "", data: `a${char}b` }]);
  });

  test("that begins with a colon is a comment, whatever follows", () => {
    expect(eventsOf(":\n: data: 1\n:data: 2\n\ndata: 3\n: in between\ndata: 4\n\n")).toEqual([
      { type: "", data: "3\n4" },
    ]);
  });

  test("without a colon is a field without a value", () => {
    expect(eventsOf("event: a\nevent\ndata\n\n")).toEqual([{ type: "", data: "" }]);
    expect(eventsOf("data\ndata\n\n")).toEqual([{ type: "", data: "\n" }]);
  });

  test("loses one space behind the colon, and no other", () => {
    expect(eventsOf("data:  two\ndata:\ttab\ndata:none \n\n")).toEqual([{ type: "", data: " two\n\ttab\nnone " }]);
    expect(eventsOf("event:  x\ndata: \n\n")).toEqual([{ type: " x", data: "" }]);
  });

  test("may have colons in its value", () => {
    expect(eventsOf("data::a:b: c\n\n")).toEqual([{ type: "", data: ":a:b: c" }]);
  });

  test("of an unknown field is ignored: names are exact", () => {
    expect(eventsOf("Data: 1\n data: 2\ndata : 3\nid: 4\nretry: 5\ndatax: 6\ndata: 7\n\n")).toEqual([
      { type: "", data: "7" },
    ]);
  });
});

describe("an event", () => {
  test("without data is none, and its type is not kept for the next one", () => {
    expect(eventsOf("event: control\n\ndata: 1\n\n")).toEqual([{ type: "", data: "1" }]);
  });

  test("with empty data is one", () => {
    expect(eventsOf("event: a\ndata:\n\n\n\nevent: b\ndata\n\n")).toEqual([
      { type: "a", data: "" },
      { type: "b", data: "" },
    ]);
  });

  test("has the last of its types", () => {
    expect(eventsOf("event: a\nevent: b\ndata: 1\n\n")).toEqual([{ type: "b", data: "1" }]);
  });

  test.each(["data: 2", "data: 2\n", "data: 2\r\n", "event: control\ndata: {}\n"])(
    "whose end has not come is dropped: %j",
    (rest) => {
      expect(eventsOf(`data: 1\n\n${rest}`)).toEqual([{ type: "", data: "1" }]);
    },
  );

  test("comes as soon as its empty line has, not with the piece after it", () => {
    const events: string[] = [];
    const parse = sseParser();
    const take = (piece: string) => events.push(...Array.from(parse(piece), ({ data }) => data));
    const seen = ["data: 1\n", "\n", "data: 2\r", "\r", "data: 3\r\n", "\r\n"].map((piece) => {
      take(piece);
      return events.length;
    });
    expect(seen).toEqual([0, 1, 1, 2, 2, 3]);
  });
});

describe("a byte order mark", () => {
  const mark = [0xef, 0xbb, 0xbf];

  test("before everything is not there, wherever it is cut", () => {
    const bytes = Uint8Array.of(...mark, ...new TextEncoder().encode("data: 1\n\n"));
    for (let at = 0; at <= bytes.length; at++) {
      expect(parse(cut(bytes, [at])), `cut at ${at}`).toEqual([{ type: "", data: "1" }]);
    }
  });

  test("anywhere else is a character", () => {
    expect(eventsOf("data: \uFEFF1\n\n\uFEFFdata: 2\n\n")).toEqual([{ type: "", data: "\uFEFF1" }]);
  });
});

/** Counts the characters that the methods of strings look at, one by one, while `run` runs. */
function charactersLookedAt(run: () => void): number {
  let count = 0;
  const names = ["indexOf", "lastIndexOf", "includes", "slice", "substring", "split", "match", "matchAll", "search"];
  for (const name of [...names, "replace", "replaceAll", "trim", "concat", "charCodeAt", "at"] as "slice"[]) {
    const original = String.prototype[name];
    vi.spyOn(String.prototype, name).mockImplementation(function (this: string, ...args) {
      count += this.length;
      return original.apply(this, args);
    });
  }
  run();
  vi.restoreAllMocks();
  return count;
}

describe("the work grows with the length, not with its square,", () => {
  const length = 2 ** 20;

  test.each([1, 16, 1024])("for one long line in pieces of %i characters", (size) => {
    const events: string[] = [];
    const parse = sseParser();
    const take = (piece: string) => events.push(...Array.from(parse(piece), ({ data }) => data));
    const piece = "x".repeat(size);
    const looked = charactersLookedAt(() => {
      take("data: ");
      for (let sent = 0; sent < length; sent += size) take(piece);
      take("\n\n");
    });
    expect(events.map((data) => data.length)).toEqual([length]);
    expect(looked).toBeGreaterThan(length); // it is seen to be counted
    expect(looked).toBeLessThan(8 * length);
  });

  test("for an event of many lines, and for many events in one piece", () => {
    const sizes: number[] = [];
    const parse = sseParser();
    const take = (piece: string) => sizes.push(...Array.from(parse(piece), ({ data }) => data.length));
    const lines = length / 16;
    const long = `${"data: 123456789\n".repeat(lines)}\n`;
    const short = "data: 12345678\n\n".repeat(lines);
    const looked = charactersLookedAt(() => {
      take(long);
      take(short);
    });
    expect(sizes).toEqual([10 * lines - 1, ...Array.from({ length: lines }, () => 8)]);
    expect(looked).toBeLessThan(8 * 2 * length);
  });
});

describe("what is written", () => {
  const line = fc.string({ unit: "grapheme" }).map((text) => text.replace(/[\r\n\0]/g, ""));
  const name = line.filter((text) => text[0] !== " ");
  const message = fc.record(
    {
      type: name.filter((text) => text !== ""),
      data: fc.array(line, { minLength: 1, maxLength: 4 }).map((lines) => lines.join("\n")),
      id: name,
      retry: fc.nat(),
    },
    { requiredKeys: ["data"] },
  );

  test("is read as it was by both parsers, whatever it is, and wherever it is cut", () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 6 }), fc.array(fc.nat(), { maxLength: 6 }), (messages, places) => {
        const text = messages.map((message) => sseComment + formatSse(message)).join("");
        const bytes = new TextEncoder().encode(text);
        const wanted = messages.map(({ type = "", data }) => ({ type, data }));
        expect(parse(cut(bytes, places))).toEqual(wanted);
        expect(reference(bytes)).toEqual(wanted);
        const ids: (string | undefined)[] = [];
        const parser = createParser({ onEvent: ({ id }) => ids.push(id) });
        parser.feed(text);
        expect(ids).toEqual(messages.map(({ id }) => id));
      }),
      { numRuns: inputs(10_000) },
    );
  });

  test("without data changes the id of the latest event, and is no event", () => {
    expect(formatSse({ retry: 250, id: "7" })).toBe("retry: 250\nid: 7\n\n");
    expect(eventsOf(formatSse({ retry: 250, id: "7" }))).toEqual([]);
  });
});
