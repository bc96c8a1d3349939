/**
 * `trousseau top` shows what the plugin says of itself as a page of the terminal that stays up to
 * date and follows keys. Where there is no terminal, or it is told so, it prints once.
 *
 * @module
 */

import { stopped } from '../../base/call.ts'
import { systemClock } from '../../base/clock.ts'
import { KmsError, toKmsError } from '../../base/errors.ts'
import { loadConfig } from '../../config/load.ts'
import type { Listen } from '../../config/schema.ts'
import { fitted } from '../../console/fitted.ts'
import type { Io } from '../../console/io.ts'
import { EXIT } from '../../console/output.ts'
import type { StatusDocument } from '../../observe/status_document.ts'
import { fetchStatusz } from '../status/statusz.ts'
import { frameOf, type Shown } from './frame.ts'
import { chosenOf, moved } from './selection.ts'

interface TopOptions {
  readonly configPath: string
  readonly timeoutMs: number
  readonly everyMs: number
  readonly once: boolean
}

const KEYS = '↑ ↓ or k j: move   Tab: endpoints or providers   q: quit'
/** The other screen of the terminal, without a cursor, so that what stood there comes back. */
const ENTER = '\u001b[?1049h\u001b[?25l'
const LEAVE = '\u001b[?25h\u001b[?1049l'
const HOME = '\u001b[H'
const REST_OF_LINE = '\u001b[K'
const REST_OF_SCREEN = '\u001b[J'
const ENDING = new Set(['q', '\u0003', '\u0004'])
const DEFAULT_ROWS = 24

/**
 * Returns the exit code of what was seen last.
 *
 * @throws ConfigError, or KmsError where there is no admin server to ask
 */
export async function top(options: TopOptions, io: Io): Promise<number> {
  const { configPath, timeoutMs, once } = options
  const { admin } = await loadConfig(configPath)
  if (admin === undefined) {
    throw new KmsError(
      'The config has no admin.listen, so nobody can be asked: set admin: { listen: "127.0.0.1:8787" } and restart the plugin',
      { code: 'request_invalid' },
    )
  }
  if (io.redraws && !once) return await new Live(options, admin.listen, io).run()
  const document = await Promise.race([fetchStatusz(admin.listen, timeoutMs), stopped(io.stop)])
  if (document === undefined) return EXIT.interrupted
  io.out(fitted(`${frameOf({ document, configPath }, io).join('\n')}\n`, io))
  return codeOf(document)
}

function codeOf(document: StatusDocument): number {
  return document.endpoints.every(({ state }) => state === 'ok' || state === 'degraded')
    ? EXIT.ok
    : EXIT.unhealthy
}

class Live {
  readonly #options: TopOptions
  readonly #listen: Listen
  readonly #io: Io
  readonly #ended = Promise.withResolvers<void>()
  #chosen = 0
  #document: StatusDocument | undefined
  #failure: { readonly message: string; readonly since: number } | undefined

  constructor(options: TopOptions, listen: Listen, io: Io) {
    this.#options = options
    this.#listen = listen
    this.#io = io
  }

  async run(): Promise<number> {
    const { everyMs } = this.#options
    const ended = Promise.race([this.#ended.promise, stopped(this.#io.stop)])
    const release = this.#io.onKey((key) => this.#press(key))
    this.#io.out(ENTER)
    try {
      let running = true
      void ended.then(() => {
        running = false
      })
      while (running) {
        await Promise.race([this.#ask(), ended])
        if (running) this.#draw()
        await this.#pause(everyMs, ended)
      }
    } finally {
      release()
      this.#io.out(LEAVE)
    }
    if (this.#document === undefined || this.#failure !== undefined) return EXIT.failure
    return codeOf(this.#document)
  }

  async #pause(ms: number, ended: Promise<unknown>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const cancel = systemClock.after(ms, resolve)
    await Promise.race([promise, ended])
    cancel()
  }

  async #ask(): Promise<void> {
    try {
      this.#document = await fetchStatusz(this.#listen, this.#options.timeoutMs)
      this.#failure = undefined
    } catch (error) {
      const { message } = toKmsError(error)
      this.#failure = { message, since: this.#failure?.since ?? Date.now() }
    }
  }

  #press(key: string): void {
    if (ENDING.has(key)) this.#ended.resolve()
    if (this.#document === undefined) return
    this.#chosen = moved(this.#document, this.#chosen, key)
    this.#draw()
  }

  #draw(): void {
    const { rows = DEFAULT_ROWS } = this.#io
    const shown: Shown = {
      document: this.#document,
      configPath: this.#options.configPath,
      chosen: this.#document && chosenOf(this.#document, this.#chosen),
      failure: this.#failure,
    }
    // The last line stays free, since what fills it might scroll the page.
    const lines = [...frameOf(shown, this.#io).slice(0, rows - 2), KEYS]
    this.#io.out(
      `${HOME}${lines.map((line) => `${line}${REST_OF_LINE}\r\n`).join('')}${REST_OF_SCREEN}`,
    )
  }
}
