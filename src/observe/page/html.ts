/**
 * HTML from templates: whatever is put into one comes out as text, unless it is HTML that was made
 * in the same way. Names and messages of others thus can neither add elements nor turn text around.
 *
 * @module
 */

import { UNPRINTABLE } from '../../base/unprintable.ts'

export class Html {
  readonly text: string

  /** @param text is HTML already */
  constructor(text: string) {
    this.text = text
  }
}

type Part = string | number | Html | readonly Html[] | undefined

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}
const MAX_CHARACTERS = 500

export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return new Html(strings.reduce((sofar, text, index) => sofar + textOf(parts[index - 1]) + text))
}

function textOf(part: Part): string {
  if (part === undefined) return ''
  if (part instanceof Html) return part.text
  if (typeof part === 'object') return part.map(({ text }) => text).join('')
  return escaped(String(part))
}

function escaped(text: string): string {
  return text
    .slice(0, MAX_CHARACTERS)
    .replaceAll(UNPRINTABLE, '\u{fffd}')
    .replaceAll(/[&<>"']/g, (found) => ESCAPES[found] ?? '')
}
