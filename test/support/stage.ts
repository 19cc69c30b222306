/** Applications of any adapter, closed when the test is over, and requests that need no timers of their own. */
import { once } from "node:events";
import { type IncomingMessage, request as requestHttp } from "node:http";
import { text } from "node:stream/consumers";
import type { ActiveSession } from "../../src/session/active-session.js";
import type { ActiveSessions } from "../../src/session/active-sessions.js";
import type { ActiveSessionsOptions } from "../../src/session/options.js";
import type { SessionGroup } from "../../src/session/session-group.js";
import { Browser, type Wishes } from "../../src/testing/application.js";
import type { AdapterUnderTest } from "../../src/testing.js";
import { atEnd } from "./cleanup.js";
import { openHost, turns } from "./control.js";

/** An application, and the host behind it. */
export interface OpenAdapter {
  readonly sessions: ActiveSessions;
  readonly url: string;
  browser(headers?: Readonly<Record<string, string>>): Browser;
}

/** Opens an application that serves runners at `/runners`. */
export async function openAdapter(
  adapter: AdapterUnderTest,
  wishes: Wishes = {},
  options: ActiveSessionsOptions<ActiveSession, unknown, SessionGroup<ActiveSession>> = {},
): Promise<OpenAdapter> {
  const sessions = openHost(options);
  const { url, close } = await adapter.open({
    ...{ options: {}, router: {}, mount: "/runners", routes: {}, withFrameworkSession: false, behindProxy: false },
    ...wishes,
    sessions,
  });
  atEnd(close);
  return { sessions, url, browser: (headers) => new Browser(url, "/runners", headers) };
}

/** Sends a request on a connection of its own; resolves when the answer begins. Works with fake timers, which `fetch` does not. */
export function askHttp(
  url: string,
  { method = "GET", headers = {} }: { method?: string; headers?: Record<string, string> } = {},
): Promise<IncomingMessage> {
  const asked = requestHttp(url, { method, headers, agent: false });
  atEnd(() => asked.destroy());
  asked.end();
  const answered = once(asked, "response").then(([response]: IncomingMessage[]) => {
    response!.on("error", () => {}); // the server may cut it off
    return response!;
  });
  answered.catch(() => {}); // a test that has failed before does not wait for it
  return answered;
}

/** Sends a request as {@link askHttp} and reads the whole answer. */
export async function readHttp(...asked: Parameters<typeof askHttp>): Promise<{ status: number; body: string }> {
  const response = await askHttp(...asked);
  return { status: response.statusCode!, body: await text(response) };
}

/** What a response brings, as it comes. */
export class Received {
  text = "";
  isOver = false;

  constructor(response: IncomingMessage) {
    response.setEncoding("utf8");
    response.on("data", (part: string) => {
      this.text += part;
    });
    response.on("close", () => {
      this.isOver = true;
    });
  }
}

/** Lets the event loop turn until it is so. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turns(1);
}
