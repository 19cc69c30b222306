/** Runs once, when the server starts; Next builds it for its Edge runtime, too. */
export async function register() {
  if (process.env.NEXT_RUNTIME === "nodejs") await import("./lib/shutdown.mjs");
}
