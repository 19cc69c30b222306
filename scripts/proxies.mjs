// `npm run proxies`: the configurations of docs/deploy.md as they stand there, each in front of a server of ours: items that come one by
// one, reads that wait for a minute, event streams on which nothing comes, stops from a page, messages that fill the headers. A proxy that
// is not installed is left out, and that is said; with `--install`, as root on Debian, all are installed.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { prepare } from "./prepare.mjs";

prepare();
const { createActiveSessions, defineSequenceRunner } = await import("active-session");
const { activeSession, runnerRouter } = await import("active-session/express");
const { default: express } = await import("express");

const docs = readFileSync("docs/deploy.md", "utf8");
/** The configuration in the docs, with other ports. */
const configured = (language, ports) => {
  const [, text] = new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, "s").exec(docs);
  return text.replaceAll("3000", ports.app).replaceAll("8080", ports.proxy);
};
const modules = "/usr/lib/apache2/modules";

/** Each with its package, and what it is started with: the command for a configuration that has been written to the folder. */
const proxies = {
  nginx: {
    package: "nginx-light",
    configure: (folder, ports) => `daemon off; pid ${folder}/pid; error_log stderr; worker_processes 1; events {}
      http { access_log off; gzip on; gzip_types application/json;
      ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`).join(" ")}
      ${configured("nginx", ports).replace("listen ", "listen 127.0.0.1:")} }`,
    command: (file, folder) => ["nginx", "-c", file, "-p", folder, "-e", "stderr"],
  },
  haproxy: {
    package: "haproxy",
    configure: (_folder, ports) => configured("haproxy", ports),
    command: (file) => ["haproxy", "-f", file, "-db"],
  },
  apache2: {
    package: "apache2",
    configure: (folder, ports) => `ServerRoot ${folder}
      PidFile ${folder}/pid
      ServerName localhost
      Listen 127.0.0.1:${ports.proxy}
      ErrorLog ${folder}/errors
      ${["mpm_event", "authz_core", "proxy", "proxy_http", "filter", "deflate"].map((name) => `LoadModule ${name}_module ${modules}/mod_${name}.so`).join("\n")}
      AddOutputFilterByType DEFLATE application/json text/html
      ${configured("apache", ports)}`,
    command: (file) => ["apache2", "-f", file, "-D", "FOREGROUND"],
  },
  caddy: {
    package: "caddy",
    configure: (_folder, ports) => `{
      admin off
      auto_https off
    }
    ${configured("caddyfile", ports)}`,
    command: (file) => ["caddy", "run", "--config", file, "--adapter", "caddyfile"],
  },
  varnishd: {
    package: "varnish",
    configure: (_folder, ports) => configured("vcl", ports),
    command: (file, folder, { proxy }) => [
      "varnishd",
      "-F",
      "-j",
      "none",
      "-a",
      `127.0.0.1:${proxy}`,
      "-f",
      file,
      "-n",
      folder,
    ],
  },
};

function isThere(name) {
  const isInstalled = spawnSync("sh", ["-c", `command -v ${name}`]).status === 0;
  if (!isInstalled) console.log(`${name}: left out, it is not installed (Debian: ${proxies[name].package})`);
  return isInstalled;
}

function install() {
  const packages = Object.values(proxies).map((proxy) => proxy.package);
  const quiet = { stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } };
  const missing = Object.keys(proxies).some((name) => spawnSync("sh", ["-c", `command -v ${name}`]).status !== 0);
  if (!missing) return;
  console.log("Installing the proxies");
  spawnSync("apt-get", ["update", "-q"], quiet);
  spawnSync("apt-get", ["install", "-y", "-q", "--no-install-recommends", ...packages], quiet);
}

async function tryOut(name, { configure, command }) {
  const folder = mkdtempSync(join(tmpdir(), `active-session-${name}-`));
  const server = await openServer();
  const ports = { app: server.port, proxy: await freePort() };
  const file = join(folder, "config");
  writeFileSync(file, configure(folder, ports));
  const run = join(folder, "run");
  mkdirSync(run);
  const [program, ...args] = command(file, run, ports);
  const env = { ...process.env, HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder };
  const proxy = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"], detached: true });
  let said = "";
  for (const output of [proxy.stdout, proxy.stderr]) output.on("data", (bytes) => (said += bytes));
  const exited = once(proxy, "exit");
  try {
    const page = new Page(`http://127.0.0.1:${ports.proxy}`, server);
    await page.reachable(exited);
    const checks = Object.entries(Page.checks);
    const outcomes = await Promise.allSettled(checks.map(([, check]) => check(page)));
    for (const [i, { status, reason, value }] of outcomes.entries()) {
      const [what] = checks[i];
      console.log(`${name}: ${status === "fulfilled" ? "ok    " : "FAILED"} ${what}${value ? ` (${value})` : ""}`);
      if (reason) console.log(`  ${reason.message}`);
    }
    const isGood = outcomes.every(({ status }) => status === "fulfilled");
    if (!isGood) console.log(said.slice(-2000));
    return isGood;
  } catch (error) {
    console.log(`${name}: FAILED ${error.message}\n${said.slice(-2000)}`);
    return false;
  } finally {
    try {
      process.kill(-proxy.pid, "SIGTERM");
    } catch {} // it has ended
    await Promise.race([exited, wait(5000, undefined, { ref: false })]);
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A server with a definition `items`, whose items the checks give by hand. */
async function openServer() {
  const sessions = createActiveSessions({ logger: { warn() {}, error() {} } }); // work fails on purpose
  const sources = new Map();
  const app = express();
  app.use(activeSession(sessions));
  const items = defineSequenceRunner({ name: "items", run: (name, { signal }) => sources.get(name)(signal) });
  const failing = defineSequenceRunner({
    name: "failing",
    run: async function* () {
      yield 1;
      throw Object.assign(new Error("本".repeat(1000)), { expose: true });
    },
  });
  app.use("/runners", runnerRouter(sessions, { expose: [items, failing], firstPageTimeout: 0 }));
  app.get("/", (request, response) => response.send(request.activeSession.id)); // sets the cookie, before several are made at once
  const server = app.listen(0, "127.0.0.1");
  server.keepAliveTimeout = 65_000;
  await once(server, "listening");
  return {
    port: server.address().port,
    sources,
    async close() {
      server.close();
      await sessions.close();
      server.closeAllConnections();
    },
  };
}

/** What a page behind the proxy does. */
class Page {
  #cookie = "";
  #url;
  #server;

  static checks = {
    "items come one by one": async (page) => {
      const { key, give } = await page.create("one by one");
      const stream = await page.stream(key);
      const began = performance.now();
      for (let n = 1; n <= 50; n++) {
        give(n);
        await stream.until(`data:${n}\n`);
      }
      const lasted = performance.now() - began;
      if (lasted > 5000) throw new Error(`Fifty items took ${lasted.toFixed()} ms`);
      await stream.close();
      return `${(lasted / 50).toFixed(1)} ms each`;
    },
    "a page is stopped from": async (page) => {
      const { key } = await page.create("stop");
      const { status } = await page.ask(`/runners/${key}/abort`, { method: "POST" });
      if (status !== 200) throw new Error(`It was answered with ${status}`);
    },
    "a failure with a long message is told": async (page) => {
      const { status, headers } = await page.ask("/runners/failing", page.json("x"));
      if (status !== 200 || headers.get("runner-status") !== "failed")
        throw new Error(`It was answered with ${status}`);
      return `${headers.get("runner-error-message").length} characters in a header`;
    },
    "what has not changed is not sent again": async (page) => {
      const { key, give } = await page.create("unchanged");
      give("x".repeat(5000));
      await (await page.stream(key)).close();
      const first = await page.ask(`/runners/${key}?offset=0`);
      await first.text();
      const again = await page.ask(`/runners/${key}?offset=0`, {
        headers: { "if-none-match": first.headers.get("etag") },
      });
      if (again.status !== 304)
        throw new Error(`It was answered with ${again.status} for ${first.headers.get("etag")}`);
      return first.headers.get("etag").endsWith('gzip"') ? "its ETag was changed on the way" : "";
    },
    "a read may wait for a minute": async (page) => {
      const { key } = await page.create("waits");
      const { status } = await page.ask(`/runners/${key}?offset=0&live=long-poll&timeout=60`);
      if (status !== 204) throw new Error(`It was answered with ${status}`);
    },
    "an event stream on which nothing comes stays open": async (page) => {
      const { key, give } = await page.create("idle");
      const stream = await page.stream(key, "?live=sse&offset=0&acks=true");
      const response = stream.id;
      await wait(40_000);
      await page.ask(`/runners/${key}/ack?offset=0&response=${response}`, { method: "POST" });
      await wait(40_000);
      give("at last");
      await stream.until("at last");
      await stream.close();
    },
  };

  constructor(url, server) {
    this.#url = url;
    this.#server = server;
  }

  async reachable(exited) {
    let isOver = false;
    exited.then(() => (isOver = true));
    for (let tries = 0; ; tries++) {
      const response = await this.ask("/").catch(() => undefined);
      if (response?.ok) return;
      if (isOver || tries === 200) throw new Error("It does not serve");
      await wait(100);
    }
  }

  async ask(path, init = {}) {
    const headers = { ...init.headers, cookie: this.#cookie };
    if (init.method === "POST") headers.origin = this.#url; // as a browser does
    const response = await fetch(this.#url + path, { ...init, headers });
    const [cookie] = response.headers.getSetCookie();
    if (cookie) this.#cookie ||= cookie.split(";")[0];
    return response;
  }

  json(value) {
    return { method: "POST", body: JSON.stringify(value), headers: { "content-type": "application/json" } };
  }

  /** Its items are given by hand. */
  async create(name) {
    let wake = () => {};
    const waiting = [];
    const give = (item) => {
      waiting.push(item);
      wake();
    };
    async function* source(signal) {
      signal.addEventListener("abort", () => wake());
      while (!signal.aborted) {
        while (waiting.length > 0) yield waiting.shift();
        await new Promise((resolve) => {
          wake = resolve;
        });
      }
    }
    this.#server.sources.set(name, source);
    const response = await this.ask("/runners/items", this.json(name));
    if (response.status !== 201) throw new Error(`Creation was answered with ${response.status}`);
    const { key } = await response.json();
    return { key, give };
  }

  async stream(key, query = undefined) {
    const path = query === undefined ? `/runners/${key}/events` : `/runners/${key}${query}`;
    const stop = new AbortController();
    const response = await this.ask(path, { signal: stop.signal, headers: { "accept-encoding": "gzip" } });
    if (response.status !== 200) throw new Error(`The event stream was answered with ${response.status}`);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    return {
      id: response.headers.get("runner-response"),
      async until(part) {
        while (!text.includes(part)) {
          const { done, value } = await reader.read();
          if (done) throw new Error("The event stream has ended");
          text += value;
        }
        text = text.slice(text.indexOf(part) + part.length);
      },
      async close() {
        await reader.cancel();
        stop.abort();
      },
    };
  }
}

async function freePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

const chosen = process.argv.slice(2).filter((word) => word in proxies);
if (process.argv.includes("--install")) install();
const names = (chosen.length > 0 ? chosen : Object.keys(proxies)).filter(isThere);
const results = await Promise.all(names.map((name) => tryOut(name, proxies[name])));
process.exit(results.every(Boolean) ? 0 : 1);
