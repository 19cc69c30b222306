/** The frame of all pages: head, navigation, and the scripts. The pages themselves are in page/, each from its header on. */
import { readFileSync } from "node:fs";

/** Each page: its name in the navigation, its title, and its script. */
export const pages = {
  "/": { file: "index", name: "Home", title: "Your session", script: "home-page.js" },
  "/search": { file: "search", name: "Search", title: "Search", script: "search-page.js" },
  "/monitor": { file: "monitor", name: "Monitor", title: "Monitor", script: "monitor-page.js" },
  "/checksum": { file: "checksum", name: "Checksum", title: "Checksum", script: "checksum-page.js" },
  "/files": { file: "files", name: "Files", title: "Files", script: "files-page.bundle.js" },
  "/exclusive": { file: "exclusive", name: "Exclusive", title: "Exclusive", script: "exclusive-page.js" },
} as const;

/** What the browser loads module by module: the library as it was built, and what its pages use. */
const imports = { "active-session/client": "/lib/client.js", uplot: "/vendor/uplot/uPlot.esm.js" };

/**
 * The page at a path, whole.
 * @param folder where the pages are
 */
export function pageAt(path: keyof typeof pages, folder: string): string {
  const { file, title, script } = pages[path];
  const links = Object.entries(pages).map(
    ([other, { name }]) => `<a href="${other}"${other === path ? ' aria-current="page"' : ""}>${name}</a>`,
  );
  const content = readFileSync(`${folder}/${file}.html`, "utf8");
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>${title} · active-session</title>
    <link rel="icon" href="data:," />
    <link rel="stylesheet" href="/vendor/uplot/uPlot.min.css" />
    <link rel="stylesheet" href="/style.css" />
    <script type="importmap">${JSON.stringify({ imports })}</script>
    <script type="module" src="/page/${script}"></script>
  </head>
  <body>
${content.replace("<header>", `<header><nav aria-label="Pages">${links.join(" ")}</nav>`)}
  </body>
</html>
`;
}
