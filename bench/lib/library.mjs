// The build of the library that a child measures: this one, or that of another commit.

/** Where the build is, for the children of this process. */
export const own = new URL("../../dist/", import.meta.url).href;

/** An entry of the library: `await library("node")`. */
export function library(entry) {
  return import(new URL(`${entry}.js`, process.env.BENCH_DIST ?? own).href);
}
