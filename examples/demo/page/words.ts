/** What happened, in sentences for the user. */
import { type AbortReason, ActiveSessionError } from "active-session/client";
import type { RunnerRow } from "../overview.js";
import { element } from "./dom.js";

/** Posts to one of the demo's own routes. Throws an error whose message is for the user. */
export async function post<Answer>(path: string, body: unknown = {}, signal?: AbortSignal): Promise<Answer> {
  const headers = { "Content-Type": "application/json" };
  const init = { method: "POST", headers, body: JSON.stringify(body), ...(signal && { signal }) };
  const response = await fetch(path, init).catch(() => {
    throw new Error("The server cannot be reached.");
  });
  const text = await response.text();
  const answer = response.headers.get("Content-Type")?.includes("json") ? JSON.parse(text) : {};
  if (!response.ok) throw new Error(answer.message ?? `The server answered ${response.status}.`);
  return answer;
}

/** Why something has been aborted. `noun`: what the page calls it. */
export function whyAborted(reason: AbortReason | undefined, noun: string): string {
  if (reason === "idle") return `The ${noun} was ended because no page followed it.`;
  if (reason === "lifetime") return `The ${noun} was ended: your session has reached its longest time.`;
  if (reason === "session-ended") return `The ${noun} was ended with your session.`;
  if (reason === "shutdown") return `The ${noun} was ended because the server shuts down.`;
  return "Stopped.";
}

/** Why work has failed, if the server tells more than that. */
export function reasonOf(error: Error | undefined): string {
  return error && error.message !== "The runner failed" ? `${error.message}.` : "";
}

/** Why following, reading or stopping did not work. */
export function explain(error: unknown, noun: string): string {
  if (!ActiveSessionError.is(error)) return error instanceof Error ? error.message : String(error);
  if (error.code === "RUNNER_GONE") {
    return `This ${noun} is not available any more: your session has ended, or the server was restarted. Start a new one.`;
  }
  if (error.code === "SERVER_UNAVAILABLE") return "The server cannot be reached.";
  return `${error.message}.`;
}

/** Shows how things stand, and has it read out when the state has changed, not with every number. */
export function say(status: HTMLElement, state: string, text: string): void {
  const isNews = status.dataset.state !== state;
  status.dataset.state = state;
  status.textContent = text;
  if (isNews) element("announcement", HTMLElement).textContent = text;
}

/** Why nothing comes at the moment. */
export function unreachable(state: "retrying" | "offline"): string {
  return state === "offline"
    ? "You are offline. The work goes on; the page follows when the network is back."
    : "The server cannot be reached. Trying again…";
}

/** True if nothing more comes of work in this state. */
export function isOver(state: RunnerRow["state"]): boolean {
  return state === "completed" || state === "failed" || state === "aborted";
}

/** The state of work in words for the user. */
export function stateOf({ state, abortReason }: RunnerRow): string {
  if (state === "completed") return "finished";
  if (state === "paused") return "paused until it is read on";
  if (state !== "aborted") return state;
  if (abortReason === "idle") return "ended: no page followed it";
  return abortReason === "stopped" ? "stopped" : "ended with its session";
}
