/** One line over time, in the colours of the page, as wide as its place; and its latest value in words. */
import UPlot from "uplot";

const height = 150;
/** Steps between labels, which have whole seconds, s. */
const seconds = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
const dark = matchMedia("(prefers-color-scheme: dark)");

/** Draws into a `figure` with a `strong` for the latest value; its `data-unit` is the unit. */
export class Plot {
  readonly #figure: HTMLElement;
  readonly #unit: string;
  readonly #latest: HTMLElement;
  #plot: UPlot | undefined;
  #data: UPlot.AlignedData = [[], []];

  constructor(figure: HTMLElement) {
    this.#figure = figure;
    this.#unit = figure.dataset.unit ?? "";
    this.#latest = figure.querySelector("strong")!;
    new ResizeObserver(() => this.#plot?.setSize({ width: figure.clientWidth, height })).observe(figure);
    dark.addEventListener("change", () => this.#plot && this.#make());
  }

  /**
   * Without values there are no axes either.
   * @param times seconds since 1970
   */
  draw(times: readonly number[], values: readonly number[]): void {
    this.#data = [[...times], [...values]];
    if (values.length === 0) this.#remove();
    else if (this.#plot) this.#plot.setData(this.#data);
    else this.#make();
    const latest = values.at(-1);
    this.#latest.textContent = latest === undefined ? "–" : `${latest.toLocaleString("en")} ${this.#unit}`;
  }

  /** What a colour of the style sheet comes to in the scheme that is shown. */
  #colour(name: string): string {
    this.#latest.style.color = `var(${name})`;
    const { color } = getComputedStyle(this.#latest);
    this.#latest.style.color = "";
    return color;
  }

  #remove(): void {
    this.#plot?.destroy();
    this.#plot = undefined;
  }

  /** The colours are part of the plot: another scheme needs another one. */
  #make(): void {
    this.#remove();
    const grid = { stroke: this.#colour("--line"), width: 1 };
    const axis = { stroke: this.#colour("--faint"), grid, ticks: grid };
    this.#plot = new UPlot(
      {
        ...{ width: this.#figure.clientWidth || 300, height },
        legend: { show: false },
        cursor: { show: false },
        scales: { y: { range: (_plot, _min, max) => [0, topOf(max)] } },
        axes: [
          { ...axis, space: 90, incrs: seconds, values: (_plot, times) => times.map(timeOf) },
          {
            ...{ ...axis, size: 70, splits: (_plot, _axis, _min, max) => [0, max / 2, max] },
            values: (_plot, values) => values.map((value) => `${value.toLocaleString()} ${this.#unit}`),
          },
        ],
        series: [{}, { stroke: this.#colour("--accent"), width: 2, points: { show: false } }],
      },
      this.#data,
      this.#figure,
    );
    this.#plot.root.setAttribute("aria-hidden", "true"); // the value stands beside it in words
  }
}

/** As the user's language and zone have it. */
function timeOf(time: number): string {
  return new Date(time * 1000).toLocaleTimeString();
}

/** The next round number above the data: 1, 2 or 5, and zeros. */
function topOf(max: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(max, 1)));
  return power * ([1, 2, 5].find((step) => step * power > max) ?? 10);
}
