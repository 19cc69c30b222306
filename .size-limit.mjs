// What each entry costs its user, minified and gzipped. Every page load pays for the client: its limit is 4 kB, and whoever needs
// more of it finds what can go. The server's are to find what got in by mistake.
const server = { gzip: true, ignore: ["express"], modifyEsbuildConfig: (config) => ({ ...config, platform: "node" }) };

export default [
  { name: "client", path: "dist/client.js", gzip: true, limit: "4 kB" },
  { name: "server", path: "dist/index.js", limit: "20 kB", ...server },
  { name: "server, with the adapter for Express", path: "dist/express.js", limit: "30 kB", ...server },
  { name: "server, with the adapter for node:http", path: "dist/node.js", limit: "30 kB", ...server },
];
