// One client: an identity (a jar for its cookie), the requests that it makes, and what it may use to behave in its way.
import { request as httpRequest } from "node:http";
import { createClient } from "../../dist/client.js";
import { roomy, tight } from "../settings.mjs";
import { Ledger } from "./ledger.mjs";
import { check, Wrong } from "./wrong.mjs";

/** Answers that came, by what they were; requests that were made. */
export const counts = { requests: 0, answers: {} };

/** Keys of runners that others have, for those who try foreign ones. */
const lastKeys = [];

/** So long a client keeps an identity, ms: its session must not end of age while it is used. */
const identityAge = 60_000;

export class Visitor {
  #origin;
  #cookie;
  /** Not the same for all: else they would all change at the same time. */
  #bornAt = performance.now() - Math.random() * identityAge;
  /** Fires when the turn has taken too long. */
  signal;
  port;

  constructor(port) {
    this.port = port;
    this.#origin = `http://127.0.0.1:${port}`;
    const fetch = (url, init) => this.#fetch(url, init);
    this.client = createClient(this.#origin + roomy.path, { fetch });
    this.tight = createClient(this.#origin + tight.path, { fetch });
  }

  /** Begins a turn, from time to time as a new client. */
  begin(signal) {
    this.signal = signal;
    if (performance.now() - this.#bornAt > identityAge || Math.random() < 0.2) this.forget();
  }

  /** Is a new client from here on. */
  forget() {
    this.#cookie = undefined;
    this.#bornAt = performance.now();
  }

  get cookie() {
    return this.#cookie;
  }

  /** A visitor with the same cookie: another tab. */
  tab() {
    const tab = new Visitor(this.port);
    tab.signal = this.signal;
    tab.#cookie = this.#cookie;
    return tab;
  }

  /** Another client, beside this one. */
  stranger() {
    const stranger = new Visitor(this.port);
    stranger.signal = this.signal;
    return stranger;
  }

  // --- requests ------------------------------------------------------------------------------------------------------

  /** A request to the runners' routes, or, with a path from the root, elsewhere. */
  fetch(path, init) {
    return this.#fetch(this.#urlOf(path), init);
  }

  /** As `fetch`; the answer, read as a whole, must have one of the statuses. */
  async ask(expected, path, init) {
    const response = await this.fetch(path, init);
    const text = await response.text();
    const fits = [expected].flat().includes(response.status);
    check(fits, () => `${init?.method ?? "GET"} ${path}: ${response.status} ${text.slice(0, 200)}, not ${expected}`);
    return { status: response.status, headers: response.headers, text, json: () => JSON.parse(text) };
  }

  /** A response whose connection is in the hands of its reader. */
  async open(path, { method = "GET", headers = {}, body } = {}) {
    counts.requests++;
    const url = this.#urlOf(path);
    const all = { ...headers, ...(this.#cookie && { cookie: this.#cookie }) };
    const request = httpRequest(url, { method, headers: all, agent: false, signal: this.signal });
    const answered = new Promise((resolve, reject) => request.once("response", resolve).on("error", reject));
    request.end(body);
    const response = await answered;
    response.on("error", () => {}); // that it was cut off is for its reader to find out
    count(response.statusCode, response.headers["runner-error-code"]);
    return response;
  }

  #urlOf(path) {
    return this.#origin + (path.startsWith("/") ? path : `${roomy.path}/${path}`);
  }

  async #fetch(url, init = {}) {
    counts.requests++;
    const headers = { ...Object.fromEntries(new Headers(init.headers)), ...(this.#cookie && { cookie: this.#cookie }) };
    const asked = new URL(url);
    const response = await fetch(asked, { ...init, headers, signal: init.signal ?? this.signal });
    const [given] = response.headers.getSetCookie();
    if (given) this.#cookie = given.split(";", 1)[0];
    const code = response.headers.get("runner-error-code");
    count(response.status, code);
    const isRefused = code === "CLIENT_LIMIT_REACHED" || code === "SERVER_LIMIT_REACHED";
    check(!isRefused || response.headers.has("retry-after"), `${code} without Retry-After`);
    return response;
  }

  // --- work ----------------------------------------------------------------------------------------------------------

  /** Creates a runner by the client; what it gives is followed by the ledger. */
  async create(name, given = {}, options = {}) {
    const input = { seed: this.random(2 ** 31), ...given };
    const follower = await this.client.create(name, input, { signal: this.signal, ...options });
    this.#remember(follower.key);
    return { follower, ledger: new Ledger(name, input), input };
  }

  /** Creates a runner without looking at its items. */
  async createQuietly(name, given = {}, { query = "?max-items=1&timeout=0", headers } = {}) {
    const input = { seed: this.random(2 ** 31), ...given };
    const all = { "content-type": "application/json", ...headers };
    const answer = await this.ask([200, 201], name + query, {
      method: "POST",
      headers: all,
      body: JSON.stringify(input),
    });
    const { key } = answer.json();
    if (key) this.#remember(key);
    return { key, input, ledger: new Ledger(name, input), first: answer.json() };
  }

  follow(key, options) {
    return this.client.follow(key, { signal: this.signal, ...options });
  }

  /** A key of another client. */
  foreignKey() {
    return this.pick(lastKeys.filter(({ owner }) => owner !== this.#cookie))?.key;
  }

  #remember(key) {
    lastKeys.push({ key, owner: this.#cookie });
    if (lastKeys.length > 100) lastKeys.shift();
  }

  // --- chance and time -----------------------------------------------------------------------------------------------

  random(below) {
    return Math.floor(Math.random() * below);
  }

  between(from, to) {
    return from + this.random(to - from);
  }

  pick(from) {
    return from[this.random(from.length)];
  }

  pause(ms) {
    const { signal } = this;
    return new Promise((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", settle);
        if (signal.aborted) reject(signal.reason);
        else resolve();
      };
      const timer = setTimeout(settle, ms);
      signal.addEventListener("abort", settle);
    });
  }
}

function count(status, code) {
  const name = status >= 400 && code ? `${status} ${code}` : String(status);
  counts.answers[name] = (counts.answers[name] ?? 0) + 1;
  const isDocumented = code === "SERVER_LIMIT_REACHED" || code === "RESULT_NOT_SERIALIZABLE";
  if (status >= 500 && !isDocumented) throw new Wrong("unexpected", `an answer ${name}`);
}
