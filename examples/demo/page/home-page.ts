/** The home page: the session and its runners, live. What shows them is a runner itself. */
import { ActiveSessionError, type ConnectionState, createClient } from "active-session/client";
import { element, make } from "./dom.js";
import { explain, post, say, unreachable, whyAborted } from "./words.js";

interface Row {
  readonly key: string;
  readonly title: string;
  readonly page: string;
  readonly kind: string;
  readonly status: string;
  readonly current: number;
  readonly estimatedEnd?: number;
  readonly abortReason?: string;
}

interface Overview {
  readonly key: string;
  /** Nothing, if it has failed at its first look. */
  readonly result?: readonly Row[];
  readonly position: number;
  readonly session: { readonly id: string; readonly generation: number };
}

const client = createClient("/runners");
const status = element("status", HTMLElement);
const connection = element("connection", HTMLElement);
const renew = element("renew", HTMLButtonElement);
const table = element("runners", HTMLTableElement);
const none = element("none", HTMLElement);
const generation = element("generation", HTMLElement);

const live = "Your session is live.";

let turn = new AbortController();
let isWatching = false;
/** One row for each runner, changed in place: a button must not vanish under the user's finger. */
const rows = new Map<string, { row: HTMLTableRowElement; stop: HTMLButtonElement }>();

renew.addEventListener("click", () => void newSession());
void watch();

async function newSession(): Promise<void> {
  renew.disabled = true;
  turn.abort();
  isWatching = false;
  try {
    await post("/end");
    await watch();
  } catch (error) {
    say(status, "problem", `A new session could not be started. ${explain(error, "session")}`);
  } finally {
    renew.disabled = false;
  }
}

/** Begins to watch, and resolves when the session is shown. What was shown before may be another one. */
async function watch(): Promise<void> {
  turn.abort();
  turn = new AbortController();
  const { signal } = turn;
  try {
    const { key, result = [], position, session } = await post<Overview>("/overview");
    if (signal.aborted) return;
    const isAnother = isWatching && generation.textContent !== String(session.generation);
    isWatching = true;
    element("session-id", HTMLElement).textContent = session.id;
    generation.textContent = String(session.generation);
    say(status, "running", isAnother ? "Your former session has ended. This is a new one." : live);
    show(result);
    void follow(key, position, signal);
  } catch (error) {
    if (!signal.aborted) say(status, "problem", `Your session cannot be shown. ${explain(error, "session")}`);
  }
}

async function follow(key: string, offset: number, signal: AbortSignal): Promise<void> {
  try {
    for await (const { items, error, abortReason, closed } of client
      .follow<Row[]>(key, { offset, signal, onConnection: showConnection })
      .updates()) {
      const newest = items.at(-1);
      if (newest) show(newest);
      if (closed) ended(error ? `Your session cannot be shown any more. ${error.message}.` : whyEnded(abortReason));
    }
  } catch (error) {
    if (signal.aborted) return;
    // Perhaps only the overview is gone, after its idle time: start another one.
    if (ActiveSessionError.is(error) && error.code === "RUNNER_GONE") await watch();
    else ended(explain(error, "overview"));
  }
}

const startAgain = "Press “New session” for another one.";

function whyEnded(reason: Parameters<typeof whyAborted>[0]): string {
  if (reason === "session-ended") return `Your session has ended. ${startAgain}`;
  if (reason === "lifetime") return `Your session has reached its longest time and has ended. ${startAgain}`;
  if (reason === "shutdown") return "The server shuts down, and your session with it.";
  return `${whyAborted(reason, "overview")} ${startAgain}`;
}

function ended(text: string): void {
  say(status, "problem", text);
  connection.hidden = true;
  show([]);
  none.hidden = true;
}

function show(next: readonly Row[]): void {
  const keys = new Set(next.map(({ key }) => key));
  for (const [key, { row }] of rows) {
    if (keys.has(key)) continue;
    row.remove();
    rows.delete(key);
  }
  for (const entry of next) update(entry);
  table.hidden = next.length === 0;
  none.hidden = next.length > 0;
}

function update(entry: Row): void {
  const { row, stop } = rows.get(entry.key) ?? add(entry);
  const [, , state, progress] = row.cells;
  const isOver = ["completed", "failed", "aborted", "finished"].includes(entry.status);
  state!.textContent = entry.abortReason ? `${entry.status} (${entry.abortReason})` : entry.status;
  const { current, estimatedEnd } = entry;
  progress!.textContent =
    estimatedEnd === undefined || isOver
      ? current.toLocaleString("en")
      : `${current.toLocaleString("en")} of ${estimatedEnd.toLocaleString("en")}`;
  stop.hidden = isOver;
}

function add({ key, title, page, kind }: Row): { row: HTMLTableRowElement; stop: HTMLButtonElement } {
  const row = table.tBodies[0]!.insertRow();
  const name = make("th");
  name.scope = "row";
  const link = make("a", title);
  link.href = `${page}#${key}`;
  name.append(link);
  row.append(name);
  row.insertCell().textContent = kind;
  row.insertCell();
  row.insertCell();
  const stop = make("button", "Stop");
  stop.type = "button";
  stop.setAttribute("aria-label", `Stop ${title}`);
  stop.addEventListener("click", () => void stopRunner(key, stop));
  row.insertCell().append(stop);
  rows.set(key, { row, stop });
  return { row, stop };
}

async function stopRunner(key: string, stop: HTMLButtonElement): Promise<void> {
  stop.disabled = true;
  try {
    await client.abort(key);
    say(status, "running", live); // it may have failed before
  } catch (error) {
    stop.disabled = false;
    say(status, "problem", `It could not be stopped. ${explain(error, "runner")}`);
  }
}

function showConnection(state: ConnectionState): void {
  const waits = state === "retrying" || state === "offline";
  if (waits) connection.textContent = unreachable(state);
  if (waits || state === "open" || state === "closed") connection.hidden = !waits;
}
