/**
 * The search page. The runner's key stands in the address (`#key`), so that a reload and a second tab find the same search;
 * without one there is nothing to follow.
 */
import { ActiveSessionError, type ConnectionState, createClient, type RunnerUpdate } from "active-session/client";

interface Match {
  readonly file: string;
  readonly line: number;
  readonly text: string;
  readonly at: number;
  readonly length: number;
}

/** What the server answers when a search has been started: the runner's key and the first page. */
interface Started {
  readonly key: string;
  readonly result: readonly Match[];
  readonly position: number;
}

const client = createClient("/runners");
const form = element("form", HTMLFormElement);
const word = element("word", HTMLInputElement);
const stop = element("stop", HTMLButtonElement);
const status = element("status", HTMLElement);
const connection = element("connection", HTMLElement);
const matches = element("matches", HTMLOListElement);

let following = new AbortController();

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void start(word.value);
});
stop.addEventListener("click", () => void stopSearch());
addEventListener("hashchange", () => void follow(keyInAddress(), 0));
void follow(keyInAddress(), 0);

async function start(wanted: string): Promise<void> {
  const former = keyInAddress();
  if (former && !stop.disabled) client.abort(former).catch(() => undefined); // it may be gone already
  reset();
  say("running", "Searching…");
  try {
    const response = await fetch("/search", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ word: wanted }),
    });
    const answer = (await response.json()) as Started & { message?: string };
    if (!response.ok) throw new Error(answer.message ?? `The server answered ${response.status}.`);
    history.replaceState(null, "", `#${answer.key}`);
    show(answer.result);
    await follow(answer.key, answer.position);
  } catch (error) {
    const reason = error instanceof TypeError ? "The server cannot be reached." : (error as Error).message;
    say("problem", `The search could not be started. ${reason}`);
  }
}

/** Shows what a search finds from `offset` on, until it ends or another search takes its place. */
async function follow(key: string, offset: number): Promise<void> {
  if (offset === 0) reset();
  else following.abort();
  if (!key) return say("idle", "Enter a word to begin.");
  following = new AbortController();
  const { signal } = following;
  stop.disabled = false;
  try {
    const search = client.follow<Match>(key, { offset, signal, onConnection: showConnection });
    for await (const update of search.updates()) {
      show(update.items);
      await showStatus(key, update);
    }
  } catch (error) {
    if (signal.aborted) return;
    say("problem", explain(error));
  }
  stop.disabled = true;
  connection.hidden = true;
}

async function stopSearch(): Promise<void> {
  stop.disabled = true;
  try {
    await client.abort(keyInAddress());
  } catch (error) {
    stop.disabled = false;
    say("problem", `The search could not be stopped. ${explain(error)}`);
  }
}

async function showStatus(key: string, { status, error, closed }: RunnerUpdate<Match>): Promise<void> {
  const found = count(matches.childElementCount);
  if (!closed) say("running", `Searching… ${found} so far.`);
  else if (status === "failed") say("problem", `The search failed after ${found}. ${error?.message ?? ""}`);
  else if (status === "aborted") say("stopped", `${await whyAborted(key)} ${found} until then.`);
  else say("completed", `Finished: ${found}.`);
}

async function whyAborted(key: string): Promise<string> {
  // Whoever has no state to show any more has gone together with its session.
  const { abortReason } = await client.state(key).catch(() => ({ abortReason: "session-ended" }));
  if (abortReason === "idle") return "The search was ended because nobody followed it.";
  if (abortReason === "lifetime" || abortReason === "session-ended") return "The search was ended with your session.";
  if (abortReason === "shutdown") return "The search was ended because the server shuts down.";
  return "Stopped.";
}

function explain(error: unknown): string {
  if (!ActiveSessionError.is(error)) return String(error);
  if (error.code === "RUNNER_GONE") {
    return "This search is not available any more: your session has ended, or the server was restarted. Start a new one.";
  }
  return `${error.message}.`;
}

function showConnection(state: ConnectionState): void {
  const waits = state === "waiting";
  if (waits) connection.textContent = "The server cannot be reached. Trying again…";
  if (waits || state === "open" || state === "closed") connection.hidden = !waits;
}

function show(items: readonly Match[]): void {
  const rows = items.map(({ file, line, text, at, length }) => {
    const row = document.createElement("li");
    const place = document.createElement("span");
    place.className = "place";
    place.textContent = `${file}:${line}`;
    const code = document.createElement("code");
    const hit = document.createElement("mark");
    hit.textContent = text.slice(at, at + length);
    code.append(text.slice(0, at), hit, text.slice(at + length));
    row.append(place, code);
    return row;
  });
  matches.append(...rows);
}

function reset(): void {
  following.abort();
  matches.replaceChildren();
  connection.hidden = true;
  stop.disabled = true;
}

function say(state: "idle" | "running" | "completed" | "stopped" | "problem", text: string): void {
  status.dataset.state = state;
  status.textContent = text;
}

function count(found: number): string {
  return found === 1 ? "1 match" : `${found.toLocaleString("en")} matches`;
}

function keyInAddress(): string {
  return location.hash.slice(1);
}

function element<E extends HTMLElement>(id: string, type: new () => E): E {
  const found = document.getElementById(id);
  if (found instanceof type) return found;
  throw new Error(`The page has no ${id}`);
}
