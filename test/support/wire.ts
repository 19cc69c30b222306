/** Requests to the handler of runners, without any server. */
import { endingOf } from "../../src/base/async.js";
import type { WireRequest } from "../../src/http/request-context.js";
import type { ActiveSessions } from "../../src/session/active-sessions.js";
import type { TaggedIdentity } from "../../src/session/identity.js";
import { inside } from "./inside.js";

/** Differences from a plain GET by Ann. `body`: the text that is sent. `signal`: aborts when the client has gone. */
export interface WireOptions extends Partial<WireRequest> {
  readonly body?: string;
  readonly signal?: AbortSignal;
}

/** A GET of `{mount}/{key}` by the user Ann, unless `more` says otherwise. */
export function wireRequest(
  sessions: ActiveSessions,
  key: string,
  { body = "", signal = new AbortController().signal, ...more }: WireOptions = {},
): WireRequest {
  const identity: TaggedIdentity | undefined = "identity" in more ? more.identity : "user:ann";
  return {
    ...{ method: "GET", key, action: undefined, query: new URLSearchParams(), headers: {} },
    over: endingOf(signal),
    cameBackTo: (session) => session.confirm(),
    findSession: () => identity && inside(sessions).lookUp(identity, undefined),
    openSession: () => inside(sessions).obtain(identity ?? "cookie:issued", undefined),
    readBody: async () => ({ text: body }),
    ...more,
    identity,
  };
}
