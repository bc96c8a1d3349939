/**
 * Settings that an operator keeps in Vault's key-value store (`settingsFrom`). They are read at the
 * start, and followed when they change. Whoever can write there must not be able to replace the
 * key, so mount and key name stay what they were at the start.
 *
 * @module
 */

import * as v from 'valibot'
import { KmsError, toKmsError } from '../../base/errors.ts'
import type { EventSink } from '../../base/events.ts'
import { type Notify, notifierOf, type OfProvider } from '../../base/notices.ts'
import type { Call } from '../../base/provider.ts'
import { vaultPath } from '../../remote/login_fields.ts'
import { type FollowedSettings, followedSettings } from '../followed_settings.ts'
import { VaultStatusError } from './api.ts'
import { transitKeyName, type VaultConfig } from './config.ts'
import { settingsApiPath } from './setup/policy.ts'

const settings = v.strictObject({
  mount: v.optional(vaultPath),
  key: v.optional(transitKeyName),
  ...followedSettings.entries,
})
type Settings = v.InferOutput<typeof settings>

export const kvAnswer = {
  1: v.object({ data: v.record(v.string(), v.unknown()) }),
  2: v.pipe(
    v.object({ data: v.object({ data: v.record(v.string(), v.unknown()) }) }),
    v.transform(({ data }) => data),
  ),
} as const

export interface TransitPlace {
  readonly mount: string
  readonly key: string
}

interface VaultSettingsDeps {
  readonly events: EventSink
  /** The key-value entry as it is now. */
  readonly read: (call: Call) => Promise<Readonly<Record<string, unknown>>>
  /** Called when settings that may change have changed. */
  readonly onChange: (settings: FollowedSettings) => void
}

export class VaultSettings {
  readonly #config: VaultConfig
  readonly #deps: VaultSettingsDeps
  readonly #notify: Notify<OfProvider>
  #place: TransitPlace | undefined
  #followed = '{}'
  #complained: string | undefined

  constructor(config: VaultConfig, deps: VaultSettingsDeps) {
    this.#config = config
    this.#deps = deps
    this.#notify = notifierOf(deps.events, { provider: config.name })
    const { mount = 'transit', key } = config
    if (config.settingsFrom === undefined && key !== undefined) this.#place = { mount, key }
  }

  /**
   * The mount and name of the key.
   *
   * @throws KmsError while the settings that name them have not been read
   */
  async place(call: Call): Promise<TransitPlace> {
    return this.#place ?? (await this.#start(call))
  }

  /** Reads the settings again. Wrong settings are reported, and those in force stay. */
  async refresh(call: Call): Promise<void> {
    if (this.#config.settingsFrom === undefined || this.#place === undefined) return
    try {
      this.#follow(await this.#read(call), this.#place)
      this.#complained = undefined
    } catch (error) {
      const { message } = toKmsError(error)
      if (message !== this.#complained) this.#notify('warn', 'settings_kept', message, error)
      this.#complained = message
    }
  }

  async #start(call: Call): Promise<TransitPlace> {
    const read = await this.#read(call)
    const { mount = 'transit', key } = { ...read, ...written(this.#config) }
    if (key === undefined) {
      throw new KmsError(
        `Settings at ${this.#path} name no key: wanted "key" there or in the config`,
        {
          code: 'key_unavailable',
        },
      )
    }
    // When several calls read at the same time, the first one decides.
    this.#place ??= { mount, key }
    this.#follow(read, this.#place)
    return this.#place
  }

  #follow(read: Settings, place: TransitPlace): void {
    const { mount, key, ...others } = read
    const swapped =
      (mount !== undefined && mount !== place.mount) || (key !== undefined && key !== place.key)
    const text = JSON.stringify(others)
    if (text !== this.#followed) {
      this.#followed = text
      this.#deps.onChange(others)
      this.#notify('info', 'settings_changed', `Settings at ${this.#path} are now: ${text}`)
    }
    if (swapped) throw refusedSwap(this.#path, place)
  }

  async #read(call: Call): Promise<Settings> {
    const result = v.safeParse(settings, await this.#entry(call))
    if (result.success) return result.output
    const at = result.issues.map((issue) => v.getDotPath(issue) ?? '(root)').join(', ')
    throw new KmsError(
      `Settings at ${this.#path} are wrong at ${at}: wanted mount, key, activationDelay, outageHold or logLevel, and nothing secret`,
      { code: 'protocol' },
    )
  }

  async #entry(call: Call): Promise<Readonly<Record<string, unknown>>> {
    try {
      return await this.#deps.read(call)
    } catch (error) {
      if (!(error instanceof VaultStatusError) || error.foreign) throw error
      const why = error.status === 404 ? 'there is nothing' : 'the policy must allow read there'
      const message = `${error.message}; settingsFrom: ${why}`
      throw new KmsError(message, { code: error.code, cause: error })
    }
  }

  get #path(): string {
    const { settingsFrom } = this.#config
    return settingsFrom === undefined ? '' : settingsApiPath(settingsFrom)
  }
}

/** Values in the config file take precedence over those in Vault. */
function written({ mount, key }: VaultConfig): Partial<TransitPlace> {
  return {
    ...(mount === undefined ? {} : { mount }),
    ...(key === undefined ? {} : { key }),
  }
}

function refusedSwap(path: string, { mount, key }: TransitPlace): KmsError {
  return new KmsError(
    `Settings at ${path} name another mount or key than ${mount}/${key}: refused while the plugin runs. Was somebody there who should not be? A planned change of the key needs the config of every node`,
    { code: 'denied' },
  )
}
