/** The parts of a runner key, the external text id of a runner: `{number}-{generation}-{sessionId}`. */
export interface RunnerKey {
  /** The runner's number within its session, from 0. */
  readonly number: number;
  /** The generation of its session, from 1. */
  readonly generation: number;
  /** The session's id, including its suffix. */
  readonly sessionId: string;
  /** The session's suffix, or `undefined`. */
  readonly suffix: string | undefined;
}

// Strict: no leading zeros, signs, white space or escapes, so that each runner has exactly one key.
const pattern = /^(0|[1-9]\d{0,15})-([1-9]\d{0,15})-([A-Za-z0-9_-]{22}(?:\.([A-Za-z0-9_-]{1,64}))?)$/;

/**
 * Parses a runner key. The text is taken literally: nothing is decoded or trimmed. All characters of a key are safe in a URL.
 * @returns `undefined` if the text cannot be the key of any runner
 */
export function parseRunnerKey(text: string): RunnerKey | undefined {
  const match = pattern.exec(text);
  if (!match) return undefined;
  const key = { number: Number(match[1]), generation: Number(match[2]), sessionId: match[3]!, suffix: match[4] };
  return Number.isSafeInteger(key.number) && Number.isSafeInteger(key.generation) ? key : undefined;
}
