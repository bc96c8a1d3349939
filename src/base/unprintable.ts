/** Characters that may not come out of the text of others as they are. @module */

/** Control, format and surrogate characters, and separators of lines. */
export const UNPRINTABLE: RegExp = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu
