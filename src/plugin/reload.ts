/**
 * Follows the config file while the plugin serves (docs/architecture.md, "A reload"): it is read
 * again on SIGHUP, and when the file has changed. A config that cannot be used changes nothing.
 *
 * @module
 */

import { stat } from 'node:fs/promises'
import type { Clock } from '../base/clock.ts'
import { systemCodeOf, toKmsError } from '../base/errors.ts'
import type { EventSink } from '../base/events.ts'
import { type Notify, notifierOf, type OfConfigFile } from '../base/notices.ts'
import { ConfigError, loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import type { Plugin } from './plugin.ts'

/** Checked regularly and not watched: a ConfigMap or a package changes the file behind a link. */
const CHECK_MS = 1_000
/** A config for which the providers or this node were not ready is tried again after this time. */
const RETRY_MS = 30_000

interface ConfigFollowerDeps {
  readonly clock: Clock
  readonly events: EventSink
}

export class ConfigFollower {
  readonly #path: string
  readonly #plugin: Pick<Plugin, 'apply'>
  readonly #deps: ConfigFollowerDeps
  readonly #notify: Notify<OfConfigFile>
  #inForce: string
  /** Undefined at first, since the file may have changed after it was read. */
  #mark: string | undefined
  #working: Promise<void> | undefined
  #asked = false
  #retryAt = Number.POSITIVE_INFINITY
  #cancel: () => void = () => undefined
  #stopped = false

  constructor(
    path: string,
    config: Config,
    plugin: Pick<Plugin, 'apply'>,
    deps: ConfigFollowerDeps,
  ) {
    this.#path = path
    this.#inForce = JSON.stringify(config)
    this.#plugin = plugin
    this.#deps = deps
    this.#notify = notifierOf(deps.events, { file: path })
  }

  start(): void {
    this.#checkLater()
  }

  /** Reads the file whether it has changed or not, because somebody asked for it. */
  reload(): void {
    this.#asked = true
    this.#work()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel()
    await this.#working
  }

  #checkLater(): void {
    if (this.#stopped) return
    this.#cancel = this.#deps.clock.after(CHECK_MS, () => this.#work())
  }

  #work(): void {
    if (this.#stopped) return
    this.#cancel()
    this.#working ??= this.#checkConfigFile().finally(() => {
      this.#working = undefined
      if (this.#asked) this.#work()
      else this.#checkLater()
    })
  }

  async #checkConfigFile(): Promise<void> {
    const asked = this.#asked
    this.#asked = false
    const mark = await markOf(this.#path)
    const due = this.#deps.clock.monotonic() >= this.#retryAt
    if (!asked && !due && mark === this.#mark) return
    this.#mark = mark
    this.#retryAt = Number.POSITIVE_INFINITY
    try {
      const config = await loadConfig(this.#path)
      const text = JSON.stringify(config)
      if (text === this.#inForce) {
        if (asked) this.#notify('info', 'config_unchanged', 'The config is as it was')
        return
      }
      await this.#plugin.apply(config)
      this.#inForce = text
      this.#notify('info', 'config_reloaded', 'The changed config is in force')
    } catch (error) {
      this.#refused(error)
    }
  }

  #refused(error: unknown): void {
    const passes = mayPass(error)
    if (passes) this.#retryAt = this.#deps.clock.monotonic() + RETRY_MS
    const again = passes ? `; it is tried again in ${RETRY_MS / 1000} s` : ''
    const before = `The changed config is refused, the one before stays in force${again}`
    if (error instanceof ConfigError) {
      this.#notify('error', 'config_refused', `${before}: ${error.problems.join('; ')}`)
      return
    }
    this.#notify('error', 'config_refused', `${before}: ${toKmsError(error).message}`, error)
  }
}

/**
 * Whether the same config may be accepted later: a provider is away, a rule refuses, or the system
 * does not give a file that may be there in a moment, which does not show in the config's own file.
 */
function mayPass(error: unknown): boolean {
  if (systemCodeOf(error) !== undefined) return true
  const { code } = toKmsError(error)
  return code === 'unavailable' || code === 'policy_denied'
}

/** Changes when the file changes, also when another file takes its place. */
async function markOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeMs } = await stat(path)
    return [dev, ino, size, mtimeMs].join(' ')
  } catch {
    return 'none'
  }
}
