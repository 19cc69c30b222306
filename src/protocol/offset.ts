/**
 * Offsets on the wire: positions as 16 decimal digits. The fixed width makes the order of the texts the order of
 * the numbers, as the Durable Streams protocol requires (section 6). 2^53 - 1 has 16 digits, so every position
 * fits.
 */

/** Padding for the shortest position. */
const zeros = "0".repeat(16);

/** Formats a position as an offset, padded with zeros. */
export function formatOffset(position: number): string {
  const digits = String(position);
  return zeros.slice(digits.length) + digits;
}

/**
 * Parses an offset of 1 to 16 decimal digits; clients may omit the padding.
 * @returns the position, or `undefined` for any other text and for a number above 2^53 - 1, which would not be
 * exact
 */
export function parseOffset(text: string): number | undefined {
  if (!/^\d{1,16}$/.test(text)) return undefined;
  const position = Number(text);
  return Number.isSafeInteger(position) ? position : undefined;
}
