/**
 * Offsets on the wire: positions as 16 decimal digits, so that their order as text is their order as numbers, which the
 * Durable Streams protocol asks for (section 6).
 */

const zeros = "0".repeat(16);

/** The text form of a position. */
export function formatOffset(position: number): string {
  const digits = String(position);
  return zeros.slice(digits.length) + digits;
}

/** Reads 1 to 16 decimal digits as a position; `undefined` for every other text and for what no number can hold exactly. */
export function parseOffset(text: string): number | undefined {
  if (!/^\d{1,16}$/.test(text)) return undefined;
  const position = Number(text);
  return Number.isSafeInteger(position) ? position : undefined;
}
