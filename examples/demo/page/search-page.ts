/** The search page: a sequence of matches. */
import { count, element, make } from "./dom.js";
import { Work } from "./work.js";

interface Match {
  readonly file: string;
  readonly line: number;
  readonly text: string;
  readonly at: number;
  readonly length: number;
}

const word = element("word", HTMLInputElement);
const matches = element("matches", HTMLOListElement);

new Work<Match>({
  noun: "search",
  doing: "Searching",
  path: "/search",
  input: () => ({ word: word.value }),
  clear: () => matches.replaceChildren(),
  show: (items) => matches.append(...items.map(toRow)),
  amount: () => count(matches.childElementCount, "match", "matches"),
});

function toRow({ file, line, text, at, length }: Match): HTMLElement {
  const row = make("li");
  const code = make("code");
  code.append(text.slice(0, at), make("mark", text.slice(at, at + length)), text.slice(at + length));
  const place = make("span", "", "place");
  const name = make("span", file, "name");
  name.title = file;
  place.append(name, `:${line}`);
  row.append(place, code);
  return row;
}
