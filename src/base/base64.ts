/**
 * Decodes base64 from bytes to bytes. Only the spelling that an encoder makes is accepted: no
 * blanks, no missing or wrong padding, no bits left over. Nothing passes through strings, since a
 * decoded value may be a secret.
 *
 * @module
 */

type Alphabet = 'standard' | 'url'

const COMMON = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
const BITS = 6
const PAD = 0x3d
const NONE = 0xff

const TABLES: Readonly<Record<Alphabet, Uint8Array>> = {
  standard: tableOf(`${COMMON}+/`),
  url: tableOf(`${COMMON}-_`),
}

/** With padding in the standard alphabet, without in the URL one; undefined for everything else. */
export function decodeBase64(text: Uint8Array, alphabet: Alphabet): Uint8Array | undefined {
  const digits = alphabet === 'standard' ? withoutPadding(text) : text
  if (digits === undefined || digits.length % 4 === 1) return undefined
  const table = TABLES[alphabet]
  const bytes = new Uint8Array(Math.floor((digits.length * BITS) / 8))
  let held = 0
  let bits = 0
  let at = 0
  for (const digit of digits) {
    const value = table[digit] ?? NONE
    if (value === NONE) return undefined
    held = ((held << BITS) | value) & 0xfff
    bits += BITS
    if (bits >= 8) {
      bits -= 8
      bytes[at] = held >>> bits
      at += 1
    }
  }
  // What is left over must be zero, or two texts would mean the same bytes.
  return (held & ((1 << bits) - 1)) === 0 ? bytes : undefined
}

function withoutPadding(text: Uint8Array): Uint8Array | undefined {
  if (text.length % 4 !== 0) return undefined
  let end = text.length
  while (end > text.length - 2 && end > 0 && text[end - 1] === PAD) end -= 1
  return text.subarray(0, end)
}

function tableOf(digits: string): Uint8Array {
  const table = new Uint8Array(256).fill(NONE)
  for (const [value, digit] of [...digits].entries()) table[digit.charCodeAt(0)] = value
  return table
}
