/** The exclusive page: one compression at a time in a session; a second one waits for the lock. */
import { ask, count, element, make, size } from "./dom.js";
import { explain, post, say } from "./words.js";
import { Work } from "./work.js";

interface Compressed {
  readonly name: string;
  readonly bytes: number;
  readonly packed: number;
}

const folder = element("folder", HTMLSelectElement);
const list = element("files", HTMLOListElement);
const total = element("total", HTMLElement);
const end = element("end", HTMLButtonElement);
const mostShown = 12;
let sum = { files: 0, bytes: 0, packed: 0 };

new Work<Compressed>({
  noun: "compression",
  doing: "Compressing",
  waiting: "Waiting for its turn…",
  path: "/exclusive",
  input: () => ({ folder: folder.value }),
  clear: () => {
    sum = { files: 0, bytes: 0, packed: 0 };
    list.replaceChildren();
    total.textContent = "";
  },
  show,
  amount: () => count(sum.files, "file"),
});

end.addEventListener("click", async () => {
  const question = "This ends the session of this page, and with it all its compressions, in every tab.";
  if (!(await ask(question, "End it", "Keep it"))) return;
  end.disabled = true;
  try {
    await post("/exclusive/end");
  } catch (error) {
    say(element("status", HTMLElement), "problem", explain(error, "session"));
  }
  end.disabled = false;
});

function show(items: readonly Compressed[]): void {
  for (const { bytes, packed } of items) {
    sum = { files: sum.files + 1, bytes: sum.bytes + bytes, packed: sum.packed + packed };
  }
  const rows = items.slice(-mostShown).map(({ name, bytes, packed }) => {
    const row = make("li", `${size(bytes)} → ${size(packed)}`);
    const place = make("span", "", "place");
    place.append(make("span", name, "name"));
    place.title = name;
    row.prepend(place);
    return row;
  });
  list.append(...rows);
  while (list.childElementCount > mostShown) list.firstElementChild?.remove();
  if (sum.files > 0) total.textContent = `${size(sum.bytes)} → ${size(sum.packed)}`;
}
