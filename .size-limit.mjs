// What each entry costs its user, minified and gzipped. Every page load pays for the client. The server's limits find what got in by
// mistake.
const server = { gzip: true, ignore: ["express"], modifyEsbuildConfig: (config) => ({ ...config, platform: "node" }) };

export default [
  { name: "client", path: "dist/client.js", gzip: true, limit: "5.5 kB" },
  { name: "server", path: "dist/index.js", limit: "29.8 kB", ...server },
  { name: "server, with the adapter for Express", path: "dist/express.js", limit: "43 kB", ...server },
  { name: "server, with the adapter for node:http", path: "dist/node.js", limit: "43 kB", ...server },
];
