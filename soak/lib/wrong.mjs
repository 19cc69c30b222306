// What a client may find wrong.

/** @typedef {"lost" | "duplicated" | "corrupt" | "hung" | "unexpected"} Kind */

/** Something that must not be. */
export class Wrong extends Error {
  /** @param {Kind} kind */
  constructor(kind, detail) {
    super(detail);
    this.kind = kind;
  }
}

/** Throws unless it is so. */
export function check(isSo, detail, kind = "unexpected") {
  if (!isSo) throw new Wrong(kind, typeof detail === "function" ? detail() : detail);
}
