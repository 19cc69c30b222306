const { PORT = 3000 } = process.env;

/** @type {import("next").NextConfig} */
export default {
  // As a server of its own would stand behind Next: here it is this one.
  rewrites: async () => [{ source: "/backend/:path*", destination: `http://127.0.0.1:${PORT}/:path*` }],
};
