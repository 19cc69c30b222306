/** The external text id of a runner: `{number}-{generation}-{sessionId}`, one form for each runner, safe in a URL. */

/** The parts of a runner key. */
export interface RunnerKey {
  readonly number: number;
  readonly generation: number;
  /** The session's id, with its suffix. */
  readonly sessionId: string;
  /** The suffix of the session, if it has one. */
  readonly suffix: string | undefined;
}

const pattern = /^(0|[1-9]\d{0,15})-([1-9]\d{0,15})-([A-Za-z0-9_-]{22}(?:\.([A-Za-z0-9_-]{1,64}))?)$/;

/** Reads a key; `undefined` for every text that no runner's key can be. Nothing is decoded or trimmed. */
export function parseRunnerKey(text: string): RunnerKey | undefined {
  const match = pattern.exec(text);
  if (!match) return undefined;
  const key = { number: Number(match[1]), generation: Number(match[2]), sessionId: match[3]!, suffix: match[4] };
  return Number.isSafeInteger(key.number) && Number.isSafeInteger(key.generation) ? key : undefined;
}
