/** The home page: the session and what runs in it, live. What shows it is a runner itself. */
import { ActiveSessionError, type ConnectionState, createClient, type RunnerFollower } from "active-session/client";
import type { Definitions, Overview } from "../definitions.js";
import type { RunnerRow } from "../overview.js";
import { ask, element, make } from "./dom.js";
import { explain, isOver, post, reasonOf, say, stateOf, unreachable, whyAborted } from "./words.js";

const client = createClient<Definitions>("/runners");
const status = element("status", HTMLElement);
const connection = element("connection", HTMLElement);
const renew = element("renew", HTMLButtonElement);
const table = element("runners", HTMLTableElement);
const none = element("none", HTMLElement);

const live = "Your session is live.";

let turn = new AbortController();
/** Of the session that is shown; `undefined` before the first one. */
let generation: number | undefined;
/** One row for each runner, changed in place: a button must not vanish under the user's finger. */
const rows = new Map<string, { row: HTMLTableRowElement; stop: HTMLButtonElement; entry: RunnerRow }>();

renew.addEventListener("click", () => void newSession());
void watch();

async function newSession(): Promise<void> {
  const running = [...rows.values()].filter(({ entry }) => !isOver(entry.state)).map(({ entry }) => entry.title);
  const what = running.length === 0 ? "Nothing is running in it." : `It ends with it: ${running.join(", ")}.`;
  if (!(await ask(`A new session ends this one, in every tab. ${what}`, "End it", "Keep it"))) return;
  renew.disabled = true;
  turn.abort();
  generation = undefined;
  try {
    await post("/end");
    await watch();
  } catch (error) {
    say(status, "problem", `A new session could not be started. ${explain(error, "session")}`);
  } finally {
    renew.disabled = false;
  }
}

/** Begins to watch, and resolves when there is something to show. What was shown before may be another session. */
async function watch(): Promise<void> {
  turn.abort();
  turn = new AbortController();
  const { signal } = turn;
  try {
    void follow(await client.create("overview", undefined, { signal, onConnection: showConnection }), signal);
  } catch (error) {
    if (!signal.aborted) say(status, "problem", `Your session cannot be shown. ${explain(error, "session")}`);
  }
}

async function follow(overview: RunnerFollower<Overview>, signal: AbortSignal): Promise<void> {
  try {
    for await (const { items, error, abortReason, closed } of overview.updates()) {
      const newest = items.at(-1);
      if (newest) show(newest);
      if (closed) ended(error ? `Your session cannot be shown any more. ${reasonOf(error)}` : whyEnded(abortReason));
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
  showRows([]);
  none.hidden = true;
}

function show(overview: Overview): void {
  if (generation !== overview.generation) {
    const isFirst = generation === undefined;
    generation = overview.generation;
    status.dataset.generation = String(generation);
    say(status, "running", isFirst ? live : "Your former session has ended. This is a new one.");
  }
  showRows(overview.rows);
}

function showRows(next: readonly RunnerRow[]): void {
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

function update(entry: RunnerRow): void {
  const shown = rows.get(entry.key) ?? add(entry);
  shown.entry = entry;
  const [, state, results] = shown.row.cells;
  state!.textContent = stateOf(entry);
  const { current, estimatedEnd } = entry;
  results!.textContent =
    estimatedEnd === undefined || isOver(entry.state)
      ? current.toLocaleString("en")
      : `${current.toLocaleString("en")} of ${estimatedEnd.toLocaleString("en")}`;
  shown.stop.hidden = isOver(entry.state);
}

function add(entry: RunnerRow): { row: HTMLTableRowElement; stop: HTMLButtonElement; entry: RunnerRow } {
  const { key, title, page } = entry;
  const row = table.tBodies[0]!.insertRow();
  const name = make("th", "", "name");
  name.scope = "row";
  const link = make("a", title);
  link.href = `${page}#${key}`;
  link.title = title;
  name.append(link);
  row.append(name);
  // On a phone the headings are not shown: each cell names itself.
  row.insertCell().dataset.label = "State";
  row.insertCell().dataset.label = "Results";
  const stop = make("button", "Stop");
  stop.type = "button";
  stop.setAttribute("aria-label", `Stop ${title}`);
  stop.addEventListener("click", () => void stopRunner(key, stop));
  row.insertCell().append(stop);
  const added = { row, stop, entry };
  rows.set(key, added);
  return added;
}

async function stopRunner(key: string, stop: HTMLButtonElement): Promise<void> {
  stop.disabled = true;
  try {
    await client.abort(key);
    say(status, "running", live); // it may have failed before
  } catch (error) {
    stop.disabled = false;
    say(status, "problem", `It could not be stopped. ${explain(error, "work")}`);
  }
}

function showConnection(state: ConnectionState): void {
  const waits = state === "retrying" || state === "offline";
  if (waits) connection.textContent = unreachable(state);
  if (waits || state === "open" || state === "closed") connection.hidden = !waits;
}
