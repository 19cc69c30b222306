// Bundles the demo's page that is made of React components, which come as modules that no browser loads by itself.
import { build } from "esbuild";

await build({
  entryPoints: ["examples/demo/dist/page/files-page.js"],
  outfile: "examples/demo/dist/page/files-page.bundle.js",
  bundle: true,
  format: "esm",
  minify: true,
  define: { "process.env.NODE_ENV": '"production"' },
  logLevel: "warning",
});
