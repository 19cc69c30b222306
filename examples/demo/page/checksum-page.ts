/** The checksum page: a process with a value that grows, and three points at which the user wants to be told. */
import { count, element, make, size } from "./dom.js";
import { Milestones } from "./milestones.js";
import { Work } from "./work.js";

/** The value as the server reports it. */
interface Checksums {
  readonly files: number;
  readonly of: number;
  readonly bytes: number;
  readonly ofBytes: number;
  /** How long the work has taken so far, ms. */
  readonly elapsed: number;
  readonly latest?: string;
  readonly entries?: readonly { name: string; files: number; bytes: number; sha256: string }[];
}

const folder = element("folder", HTMLSelectElement);
const bar = element("bar", HTMLProgressElement);
const remaining = element("remaining", HTMLElement);
const totals = element("totals", HTMLElement);
const latest = element("latest", HTMLElement);
const result = element("result", HTMLTableElement);
const milestones = new Milestones<Checksums>(
  ({ files }) => files,
  ({ bytes }) => size(bytes),
);

/** Before this time, ms, the speed says little. */
const knownAfter = 500;
let value: Checksums | undefined;

for (const form of document.querySelectorAll<HTMLFormElement>("form.milestone")) {
  const [at, output] = [form.querySelector("input")!, form.querySelector("output")!];
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    milestones.add(at.valueAsNumber, output);
  });
}

new Work<Checksums>({
  noun: "calculation",
  doing: "Calculating",
  path: "/checksum",
  input: () => ({ folder: folder.value }),
  clear,
  show: (items) => items.forEach(show),
  amount: () => `${count(value?.files ?? 0, "file")}, ${size(value?.bytes ?? 0)}`,
  ended: () => {
    remaining.textContent = "";
  },
  opened: (client, key, signal) => void milestones.watch(client, key, signal),
});

function clear(): void {
  value = undefined;
  bar.removeAttribute("value");
  bar.hidden = true;
  result.hidden = true;
  for (const text of [remaining, totals, latest]) text.textContent = "";
}

function show(next: Checksums): void {
  value = next;
  bar.hidden = false;
  bar.value = next.ofBytes > 0 ? next.bytes / next.ofBytes : 1;
  totals.textContent = `${next.files.toLocaleString("en")} of ${count(next.of, "file")}, ${size(next.bytes)} of ${size(next.ofBytes)}`;
  latest.textContent = next.latest ?? "";
  remaining.textContent = next.entries ? "" : timeLeft(next);
  if (next.entries) showResult(next.entries);
}

/** At the speed so far, which the server knows: the same in each tab, and after a reload. */
function timeLeft({ bytes, ofBytes, elapsed }: Checksums): string {
  if (bytes === 0 || elapsed < knownAfter) return "";
  const seconds = Math.ceil(((ofBytes - bytes) / bytes) * (elapsed / 1000));
  return `about ${seconds > 100 ? count(Math.round(seconds / 60), "minute") : count(seconds, "second")} left`;
}

function showResult(entries: NonNullable<Checksums["entries"]>): void {
  const rows = entries.map((entry) => {
    const row = make("tr");
    const digest = make("code", entry.sha256.slice(0, 16));
    digest.title = entry.sha256;
    const name = make("th", entry.name);
    name.scope = "row";
    const last = make("td");
    last.append(digest);
    row.append(name, make("td", entry.files.toLocaleString("en")), make("td", size(entry.bytes)), last);
    return row;
  });
  result.tBodies[0]!.replaceChildren(...rows);
  result.hidden = false;
}
