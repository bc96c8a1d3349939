/**
 * Follows the file that a waiver is put into. Whatever happens with it is told: who gave it, that
 * it holds, again and again while it does, and that it has ended.
 *
 * @module
 */

import { stat } from 'node:fs/promises'
import type { Clock } from '../base/clock.ts'
import { systemCodeOf, systemReasonOf } from '../base/errors.ts'
import type { EventSink } from '../base/events.ts'
import { readSmallFile } from '../base/small_file.ts'
import type { WaiverConfig } from './config.ts'
import { markOf } from './facts/file.ts'
import { readWaiver, readWaiverKeys, type Waiver, WaiverRefusal } from './waiver_text.ts'

/** How often a waiver that holds is told again. */
const REMIND_MS = 600_000

interface WaiverDeps {
  readonly clock: Clock
  readonly events: EventSink
  /** Whose waiver may hold here; `machine` is undefined where this machine has no id. */
  readonly here: () => { readonly node: string; readonly machine: string | undefined }
}

export class WaiverFile {
  readonly #config: WaiverConfig
  readonly #deps: WaiverDeps
  #mark = ''
  #waiver: Waiver | undefined
  #remindAt = 0
  /** Why it was refused; empty where it was not. */
  #told = ''

  constructor(config: WaiverConfig, deps: WaiverDeps) {
    this.#config = config
    this.#deps = deps
  }

  /** The one that holds now. */
  get inForce(): Waiver | undefined {
    const waiver = this.#waiver
    return waiver !== undefined && waiver.until > this.#deps.clock.now() ? waiver : undefined
  }

  lifts(rule: string): Waiver | undefined {
    const waiver = this.inForce
    return waiver?.rules.some((each) => each === rule || each === '*') === true ? waiver : undefined
  }

  /** Looks at the file; true where what it lifts is not what it was. */
  async refresh(): Promise<boolean> {
    const before = this.#waiver
    if (before !== undefined && this.inForce === undefined) this.#end('has ended')
    const mark = await markIn(this.#config.file)
    // One that was refused is looked at again: its keys or this node's clock may be right by now.
    if (mark !== this.#mark || this.#told !== '') {
      this.#mark = mark
      await this.#read(mark)
    }
    this.#remind()
    return before !== this.#waiver
  }

  async #read(mark: string): Promise<void> {
    if (mark === '') {
      this.#end('was taken away')
      this.#told = ''
      return
    }
    try {
      const waiver = await this.#checked()
      if (waiver.id !== this.#waiver?.id) this.#end('gave way to another one')
      this.#waiver = waiver
      this.#remindAt = 0
      this.#told = ''
    } catch (error) {
      const why =
        error instanceof WaiverRefusal ? error.message : `cannot be read: ${systemReasonOf(error)}`
      this.#end(why)
      if (why === this.#told) return
      this.#told = why
      this.#tell(
        'error',
        'waiver_refused',
        `The waiver in ${this.#config.file} ${why}: it lifts nothing`,
      )
    }
  }

  async #checked(): Promise<Waiver> {
    const { file, keyFiles, maxLifetime: maxLifetimeMs, revoked } = this.#config
    const { node, machine } = this.#deps.here()
    if (machine === undefined) {
      throw new WaiverRefusal('cannot be checked: this machine has no id (node.machine)')
    }
    const text = (await readSmallFile(file)).trim()
    const keys = await readWaiverKeys(keyFiles)
    return await readWaiver(
      text,
      keys,
      { node, machine, maxLifetimeMs, revoked },
      this.#deps.clock.now(),
    )
  }

  #end(why: string): void {
    if (this.#waiver === undefined) return
    const { id, who } = this.#waiver
    this.#waiver = undefined
    this.#tell('warn', 'waiver_ended', `Waiver ${id} of ${who} ${why}: rules hold again`)
  }

  #remind(): void {
    const waiver = this.inForce
    const now = this.#deps.clock.monotonic()
    if (waiver === undefined || now < this.#remindAt) return
    this.#remindAt = now + REMIND_MS
    const { id, who, why, rules, until } = waiver
    this.#tell(
      'warn',
      'waiver_in_force',
      `Waiver ${id} of ${who} lifts ${rules.join(', ')} until ${new Date(until).toISOString()}: ${why}`,
    )
  }

  #tell(
    level: 'warn' | 'error',
    what: 'waiver_refused' | 'waiver_ended' | 'waiver_in_force',
    message: string,
  ): void {
    this.#deps.events.emit({ type: 'notice', level, what, message })
  }
}

/** Empty where there is no file. */
async function markIn(path: string): Promise<string> {
  try {
    return markOf(await stat(path, { bigint: true }))
  } catch (error) {
    return systemCodeOf(error) === 'ENOENT' ? '' : (systemCodeOf(error) ?? 'unreadable')
  }
}
