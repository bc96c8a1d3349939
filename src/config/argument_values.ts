/**
 * Values of a plugin's command line, read one by one; what is wrong with them is gathered, so that
 * all of it can be told at once.
 *
 * @module
 */

import { own } from '../base/own.ts'
import { readDuration, readSwitch } from './go_flags.ts'
import type { Config } from './schema.ts'

/** Below the 3 s that an API server waits where nobody says otherwise. */
const MAX_REQUEST_MS = 2_500
const MAX_PORT = 65_535
const LEVELS: Readonly<Record<string, Config['log']['level']>> = {
  trace: 'debug',
  'debug-extended': 'debug',
  debug: 'debug',
  info: 'info',
  warn: 'warn',
  error: 'error',
  panic: 'error',
  0: 'info',
  4: 'warn',
}

/** Values by the name of their argument; what is wrong with one is kept in `problems`. */
export class ArgumentValues {
  readonly problems: string[] = []
  readonly #given: ReadonlyMap<string, string>

  constructor(given: ReadonlyMap<string, string>) {
    this.#given = given
  }

  text(name: string): string | undefined {
    return this.#given.get(name)
  }

  required(name: string, wanted: string): string | undefined {
    const text = this.text(name)
    if (text === undefined) this.wrong(name, `is missing: wanted ${wanted}`)
    return text
  }

  switch(name: string): boolean | undefined {
    return this.#read(name, 'true or false', readSwitch)
  }

  oneOf<T>(name: string, words: Readonly<Record<string, T>>): T | undefined {
    const wanted = Object.keys(words).join(' or ')
    return this.#read(name, wanted, (text) => own(words, text))
  }

  /** How long a request may take at most. */
  requestMs(): number {
    const read = this.#read('vault-connection-timeout', 'a duration such as 10s', readDuration)
    return Math.min(Math.round(read ?? MAX_REQUEST_MS), MAX_REQUEST_MS)
  }

  level(): Config['log']['level'] | undefined {
    const names = ['zap-log-level', 'log-level'].filter((name) => this.text(name) !== undefined)
    if (names.length > 1) this.wrong('log-level', 'wanted no -zap-log-level beside it')
    const wanted = 'debug, info, warn or error, or the number of a level'
    const levels = names.map((name) =>
      this.#read(
        name,
        wanted,
        (text) => own(LEVELS, text) ?? (/^\d{1,3}$/.test(text) ? 'debug' : undefined),
      ),
    )
    return levels[0]
  }

  /** A port; undefined where there is to be none. */
  port(name: string, standard: string): number | undefined {
    const wanted = `a port up to ${MAX_PORT}, or 0 for none`
    const port = this.#read(name, wanted, (text) => {
      const number = /^-?\d{1,5}$/.test(text) ? Number(text) : Number.NaN
      return number <= MAX_PORT ? number : undefined
    })
    const chosen = port ?? Number(this.text(name) === undefined ? standard : 0)
    return chosen > 0 ? chosen : undefined
  }

  #read<T>(name: string, wanted: string, read: (text: string) => T | undefined): T | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const value = read(text)
    if (value === undefined) this.wrong(name, `wanted ${wanted}`)
    return value
  }

  wrong(name: string, what: string): void {
    this.problems.push(`-${name}: ${what}`)
  }
}
