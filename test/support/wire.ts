/** Requests to the handler of runners, without any server. */
import type { WireRequest } from "../../src/http/request-context.js";
import type { ActiveSessions } from "../../src/session/host.js";
import type { TaggedIdentity } from "../../src/session/identity.js";

/** A GET of `{mount}/{key}` by the user Ann, unless `more` says otherwise. `body`: the text that is sent. */
export function wireRequest(
  sessions: ActiveSessions,
  key: string,
  { body = "", ...more }: Partial<WireRequest> & { readonly body?: string } = {},
): WireRequest {
  const identity: TaggedIdentity | undefined = "identity" in more ? more.identity : "user:ann";
  return {
    ...{ method: "GET", key, action: undefined, query: new URLSearchParams(), headers: {} },
    signal: new AbortController().signal,
    cameBackTo: (session) => session.confirm(),
    findSession: () => identity && sessions.lookUp(identity, undefined),
    openSession: () => sessions.obtain(identity ?? "cookie:issued", undefined),
    readBody: async () => ({ text: body }),
    ...more,
    identity,
  };
}
