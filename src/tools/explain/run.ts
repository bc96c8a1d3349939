/**
 * `trousseau explain WORD` says what an error code or an event of the log means, and what to do.
 *
 * @module
 */

import { KmsError } from '../../base/errors.ts'
import { remedyOf } from '../../base/remedies.ts'
import { nearest } from '../../config/nearest.ts'
import { fitted } from '../../console/fitted.ts'
import type { Io } from '../../console/io.ts'
import { EXIT, json, printable } from '../../console/output.ts'
import { CODES, type CodeEntry } from './codes.ts'
import { EVENTS, type EventEntry } from './events.ts'

interface Explanation {
  readonly name: string
  readonly kind: 'error code' | 'event'
  readonly means: string
  readonly todo?: string | undefined
  /** Of a code: what an API server sees. */
  readonly status?: string
  /** Of an event. */
  readonly levels?: readonly string[]
  readonly fields?: readonly string[]
}

const BY_CODE: ReadonlyMap<string, CodeEntry> = new Map(Object.entries(CODES))
const BY_EVENT: ReadonlyMap<string, EventEntry> = new Map(Object.entries(EVENTS))

/** What is known of a word: a code and an event never have the same name. */
function explanationOf(name: string): Explanation | undefined {
  const code = BY_CODE.get(name)
  if (code !== undefined) return { name, kind: 'error code', ...code, todo: remedyOf(name) }
  const event = BY_EVENT.get(name)
  return event === undefined ? undefined : { name, kind: 'event', ...event }
}

/** @throws KmsError where nothing has that name */
export function explain(word: string | undefined, asJson: boolean, io: Io): number {
  if (word === undefined) return list(asJson, io)
  const found = explanationOf(word)
  if (found === undefined) throw unknownWord(word)
  io.out(asJson ? json(found) : textOf(found, io))
  return EXIT.ok
}

function list(asJson: boolean, io: Io): number {
  const codes = [...BY_CODE.keys()]
  const events = [...BY_EVENT.keys()]
  const lines = (names: readonly string[]) => names.map((name) => `  ${name}\n`).join('')
  io.out(
    asJson
      ? json({ codes, events })
      : `Error codes:\n${lines(codes)}\nEvents of the log:\n${lines(events)}`,
  )
  return EXIT.ok
}

function unknownWord(word: string): KmsError {
  const near = nearest(word, [...BY_CODE.keys(), ...BY_EVENT.keys()])
  const meant = near === undefined ? '' : `; did you mean ${near}?`
  return new KmsError(
    `No error code and no event is called "${printable(word)}"${meant} "trousseau explain" lists them; messages are in docs/troubleshooting.md`,
    { code: 'request_invalid' },
  )
}

function textOf({ name, kind, means, todo, status, levels, fields }: Explanation, io: Io): string {
  const rows = [
    status === undefined ? [] : [`To the API server: ${status}`],
    levels === undefined ? [] : [`Level: ${levels.join(', ')}`],
    fields === undefined || fields.length === 0 ? [] : [`Fields: ${fields.join(', ')}`],
    [means],
    todo === undefined ? [] : [`What to do: ${todo}`],
  ].flat()
  return `${name} (${kind})\n${rows.map((row) => `${fitted(row, io)}\n`).join('')}`
}
