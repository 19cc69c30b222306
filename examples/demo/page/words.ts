/** What happened, in sentences for the user. */
import { type AbortReason, ActiveSessionError } from "active-session/client";
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
