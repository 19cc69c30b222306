/** One line over time, in the colours of the page, as wide as its place; and its latest value in words. */
import UPlot from "uplot";

const height = 150;
const dark = matchMedia("(prefers-color-scheme: dark)");

/** Draws into a `figure` with a `strong` for the latest value; its `data-unit` is the unit. */
export class Plot {
  readonly #figure: HTMLElement;
  readonly #latest: HTMLElement;
  #plot: UPlot | undefined;
  #data: UPlot.AlignedData = [[], []];

  constructor(figure: HTMLElement) {
    this.#figure = figure;
    this.#latest = figure.querySelector("strong")!;
    new ResizeObserver(() => this.#plot?.setSize({ width: figure.clientWidth, height })).observe(figure);
    dark.addEventListener("change", () => this.#make());
    this.#make();
  }

  /** @param times seconds since 1970 */
  draw(times: readonly number[], values: readonly number[]): void {
    this.#data = [[...times], [...values]];
    this.#plot?.setData(this.#data);
    const latest = values.at(-1);
    this.#latest.textContent =
      latest === undefined ? "–" : `${latest.toLocaleString("en")} ${this.#figure.dataset.unit}`;
  }

  /** What a colour of the style sheet comes to in the scheme that is shown. */
  #colour(name: string): string {
    this.#latest.style.color = `var(${name})`;
    const { color } = getComputedStyle(this.#latest);
    this.#latest.style.color = "";
    return color;
  }

  /** The colours are part of the plot: another scheme needs another one. */
  #make(): void {
    this.#plot?.destroy();
    const grid = { stroke: this.#colour("--line"), width: 1 };
    const axis = { stroke: this.#colour("--faint"), grid, ticks: grid };
    this.#plot = new UPlot(
      {
        ...{ width: this.#figure.clientWidth || 300, height },
        legend: { show: false },
        cursor: { show: false },
        scales: { y: { range: (_plot, _min, max) => [0, Math.max(1, max * 1.1)] } },
        axes: [axis, axis],
        series: [{}, { stroke: this.#colour("--accent"), width: 2, points: { show: false } }],
      },
      this.#data,
      this.#figure,
    );
    this.#plot.root.setAttribute("aria-hidden", "true"); // the value stands beside it in words
  }
}
