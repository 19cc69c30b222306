// Finds a Chromium for the browser tests: one that is installed; else, when root on Debian, installs Debian's.
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const places = ["/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"];

/**
 * The path of an executable Chromium, or `undefined`.
 * @param {{ mayInstall?: boolean }} [options] whether Debian's may be installed; default: true
 * @returns {string | undefined}
 */
export function findChromium({ mayInstall = true } = {}) {
  return process.env.CHROMIUM_PATH || installed() || (mayInstall ? install() : undefined);
}

function installed() {
  const folders = (process.env.PATH ?? "").split(delimiter);
  return [...folders.flatMap((folder) => names.map((name) => join(folder, name))), ...places].find(isExecutable);
}

function install() {
  if (process.getuid?.() !== 0 || spawnSync("apt-get", ["--version"]).status !== 0) return undefined;
  console.log("Installing Debian's Chromium for the browser tests");
  const apt = (...args) => spawnSync("apt-get", ["-q", "-y", ...args], { stdio: ["ignore", "ignore", "inherit"] });
  apt("update");
  apt("install", "--no-install-recommends", "chromium");
  return installed();
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
