/** The monitor page: a time series, drawn as it comes. */
import { count, element } from "./dom.js";
import { Plot } from "./plot.js";
import { Work } from "./work.js";

interface Measurement {
  readonly time: string;
  readonly value: Readonly<Record<"cpu" | "memory" | "delay", number>>;
}

/** As many as the server keeps. */
const mostShown = 600;

const interval = element("interval", HTMLSelectElement);
const plots = (["cpu", "memory", "delay"] as const).map((name) => ({
  name,
  plot: new Plot(element(name, HTMLElement)),
}));
let shown: readonly Measurement[] = [];

new Work<Measurement>({
  noun: "monitor",
  doing: "Measuring",
  path: "/monitor",
  input: () => ({ interval: Number(interval.value) }),
  clear: () => draw([]),
  show: (items) => draw([...shown, ...items].slice(-mostShown)),
  amount: () => count(shown.length, "measurement"),
});

function draw(measurements: readonly Measurement[]): void {
  shown = measurements;
  const times = shown.map(({ time }) => Date.parse(time) / 1000);
  for (const { name, plot } of plots)
    plot.draw(
      times,
      shown.map(({ value }) => value[name]),
    );
}
