/**
 * Offsets on the wire: positions as 16 decimal digits, so that their order as text is their order as numbers, which the
 * Durable Streams protocol asks for (section 6).
 */

/** The text form of a position. */
export function formatOffset(position: number): string {
  return String(position).padStart(16, "0");
}

/** Reads 1 to 16 decimal digits as a position; `undefined` for every other text and for what no number can hold exactly. */
export function parseOffset(text: string): number | undefined {
  if (!/^\d{1,16}$/.test(text)) return undefined;
  const position = Number(text);
  return Number.isSafeInteger(position) ? position : undefined;
}
