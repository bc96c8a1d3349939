/**
 * Parses values as Go's own library does, where that decides whether an API server starts.
 *
 * @module
 */

/** Nanoseconds. */
const UNITS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  '\u00b5s': 1e3,
  '\u03bcs': 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
}
const DURATION = /^[-+]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+$/
const PART = /([\d.]+)([^\d.]+)/g
const MAX_NANOSECONDS = 2 ** 63

/** Milliseconds of `1m30s`, `1.5h` or `0`; undefined for text that is no Go duration. */
export function goDuration(text: string): number | undefined {
  if (/^[-+]?0$/.test(text)) return 0
  if (!DURATION.test(text)) return undefined
  let nanoseconds = 0
  for (const [, number, unit = ''] of text.matchAll(PART)) {
    nanoseconds += Number(number) * (UNITS[unit] ?? 0)
  }
  if (nanoseconds >= MAX_NANOSECONDS) return undefined
  return (text.startsWith('-') ? -nanoseconds : nanoseconds) / 1e6
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/**
 * The number of bytes that the text encodes; undefined for text that is no padded base64. Line
 * breaks do not count.
 */
export function base64Bytes(text: string): number | undefined {
  const digits = text.replaceAll(/[\r\n]/g, '')
  if (!BASE64.test(digits)) return undefined
  return (digits.length / 4) * 3 - (/=*$/.exec(digits)?.[0].length ?? 0)
}

interface GoUrl {
  /** In lower case. */
  readonly scheme: string
  /** Decoded; empty where a scheme is not followed by a slash. */
  readonly path: string
}

const SCHEME = /^([a-z][a-z\d+.-]*):(.*)$/is
const CONTROL = /(?![\u0080-\u009f])\p{Cc}/u
const BAD_ESCAPE = /%(?![\da-f]{2})/i
const HOST = /^(?:[\w.~!$&'()*+,;=<>"-]|[^\p{ASCII}])*(?::\d*)?$/u
const BRACKETED = /^\[[^\]]*\](?::\d*)?$/
const USER = /^[\w.~!$&'()*+,;=:%@-]*$/

/** Undefined for text that Go's `net/url` does not parse as a URL with a scheme. */
export function goUrl(text: string): GoUrl | undefined {
  const [whole = '', fragment = ''] = text.split(/#(.*)/s)
  const [, scheme = '', rest = ''] = SCHEME.exec(whole) ?? []
  if (scheme === '' || CONTROL.test(text) || BAD_ESCAPE.test(fragment)) return undefined
  const path = pathOf(rest.replace(/\?.*/s, ''))
  return path === undefined ? undefined : { scheme: scheme.toLowerCase(), path }
}

function pathOf(rest: string): string | undefined {
  const [, authority = '', path = ''] = /^(?:\/\/([^/]*))?(.*)$/s.exec(rest) ?? []
  if (!path.startsWith('/')) return rest.startsWith('/') && !isAuthority(authority) ? undefined : ''
  return !isAuthority(authority) || BAD_ESCAPE.test(path) ? undefined : unescaped(path)
}

function isAuthority(text: string): boolean {
  const [, user = '', host = ''] = /^(?:(.*)@)?(.*)$/s.exec(text) ?? []
  if (!USER.test(user) || BAD_ESCAPE.test(user)) return false
  return HOST.test(host) || BRACKETED.test(host)
}

/** Decodes bytes one by one, since escaped bytes need not be UTF-8. */
function unescaped(path: string): string {
  return path.replaceAll(/(?:%[\da-f]{2})+/gi, (escapes) =>
    new TextDecoder().decode(
      Uint8Array.from(escapes.slice(1).split('%'), (hex) => Number.parseInt(hex, 16)),
    ),
  )
}
