/**
 * A runbook's page as steps to do and output to see. Blocks marked `sh run` are executed in their
 * order, blocks marked `text see` are what the block before them prints, and comments `<!--
 * meanwhile: … -->` are where the test lets something happen to the operator, or checks something
 * itself.
 *
 * @module
 */

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

const RUNBOOKS = fileURLToPath(new URL('../../../docs/runbooks/', import.meta.url))

export interface Step {
  readonly kind: 'run' | 'see' | 'meanwhile'
  readonly text: string
  /** Of the numbered step that it belongs to; 0 outside of any. */
  readonly number: number
  /** Of the page, for messages. */
  readonly line: number
}

const KINDS: Readonly<Record<string, Step['kind']>> = { 'sh run': 'run', 'text see': 'see' }
const PART = /^( *)```(.*)\n([\s\S]*?)^ *```$|^<!-- meanwhile: (.+) -->$/gm

export async function readPage(name: string): Promise<Step[]> {
  return stepsOf(await readFile(`${RUNBOOKS}${name}.md`, 'utf8'))
}

export function stepsOf(page: string): Step[] {
  return [...page.matchAll(PART)].flatMap(
    ({ 1: indent, 2: info, 3: block, 4: meanwhile, index }) => {
      const before = page.slice(0, index)
      const line = before.split('\n').length
      const number = Number(
        before
          .match(/^(?:\d+(?=\. )|#)/gm)
          ?.at(-1)
          ?.replace('#', '0') ?? 0,
      )
      if (meanwhile !== undefined)
        return [{ kind: 'meanwhile', text: meanwhile, number, line }] as const
      const kind = KINDS[info ?? '']
      if (kind === undefined) return []
      // A block of a list item is indented with it.
      const text = (block ?? '').replaceAll(new RegExp(`^${indent ?? ''}`, 'gm'), '')
      return [{ kind, text, number, line }]
    },
  )
}

/**
 * Whether a command printed what the page says. `…` stands for anything within a line,
 * and a line of its own for any lines. How many blanks there are does not matter.
 */
export function looksLike(output: string, page: string): boolean {
  const lines = plain(page).split('\n')
  const pattern = lines.map((line, at) => {
    const last = at === lines.length - 1
    if (line === '…') return last ? '[^]*' : '(?:.*\n)*?'
    const parts = line.split('…').map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
    return parts.join('.*') + (last ? '' : '\n')
  })
  return new RegExp(`^${pattern.join('')}$`).test(plain(output))
}

function plain(text: string): string {
  const lines = text.trim().split('\n')
  return lines.map((line) => line.trim().replaceAll(/[ \t]+/g, ' ')).join('\n')
}
