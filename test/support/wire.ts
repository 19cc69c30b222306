/** Requests to the handler of runners, without any server. */
import { endingOf } from "../../src/base/async.js";
import type { RouteRequest } from "../../src/http/request-context.js";
import type { RequestPort } from "../../src/http/request-port.js";
import type { ActiveSessions } from "../../src/session/active-sessions.js";
import type { TaggedIdentity } from "../../src/session/identity.js";
import type { Session } from "../../src/session/session.js";
import { inside } from "./inside.js";

/** Differences from a plain GET by Ann. `body`: the text that is sent. `signal`: aborts when the client has gone. */
export interface WireOptions extends Partial<Omit<RouteRequest, "session" | "find">> {
  /** Instead of finding or creating the session of the identity. */
  readonly openSession?: () => Session;
  /** Instead of finding the session of the identity. */
  readonly findSession?: () => Session | undefined;
  readonly body?: string;
  readonly signal?: AbortSignal;
}

/** A GET of `{mount}/{key}` by the user Ann, unless `more` says otherwise. */
export function wireRequest(
  sessions: ActiveSessions,
  key: string,
  { body = "", signal = new AbortController().signal, openSession, findSession, ...more }: WireOptions = {},
): RouteRequest {
  const identity: TaggedIdentity | undefined = "identity" in more ? more.identity : "user:ann";
  const open = openSession ?? (() => inside(sessions).obtain(identity ?? "cookie:issued", undefined));
  return {
    ...{ method: "GET", key, action: undefined, query: new URLSearchParams(), headers: {} },
    over: endingOf(signal),
    cameBackTo: (session) => session.confirm(),
    find: findSession ?? (() => identity && inside(sessions).lookUp(identity, undefined)),
    get session() {
      return open();
    },
    readBody: async () => ({ text: body }),
    ...more,
    identity,
  };
}

/** A request that asks for nothing, as an adapter presents it, and the function that ends it. */
export function openPort(): { port: RequestPort; over: (() => void)[]; end: () => void } {
  const over: (() => void)[] = [];
  const port: RequestPort = {
    ...{
      path: "/",
      signal: new AbortController().signal,
      isSecure: false,
      cookies: undefined,
      headersSent: false,
      frameworkSession: undefined,
    },
    setCookie: () => {},
    forbidSharing: () => {},
    onOver: (callback) => void over.push(callback),
  };
  return { port, over, end: () => over.splice(0).forEach((callback) => void callback()) };
}
