// The names of all tests, from the report that the last `npm test` has written, for the checks that tie them to the numbers of a document.
import { existsSync, readFileSync } from "node:fs";
import { relative } from "node:path";

export const reportFile = ".test-report.json";

/** Each test that ran, as its file and its names, those of the `describe`s around it first. */
export function allTests() {
  if (!existsSync(reportFile)) {
    console.error(`There is no ${reportFile}: run npm test first`);
    process.exit(1);
  }
  const { testResults } = JSON.parse(readFileSync(reportFile, "utf8"));
  return testResults.flatMap(({ name, assertionResults }) =>
    assertionResults
      .filter(({ status }) => status === "passed" || status === "failed")
      .map(({ ancestorTitles, title }) => ({ file: relative(".", name), names: [...ancestorTitles, title] })),
  );
}
