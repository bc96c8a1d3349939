/**
 * What `trousseau recover` opens objects with: recovery keys, and the providers of a config.
 *
 * @module
 */

import { withinLimit } from '../../base/call.ts'
import { systemClock } from '../../base/clock.ts'
import { ConfigError, loadConfig } from '../../config/load.ts'
import type { Io } from '../../console/io.ts'
import { noticesTo } from '../../console/notices.ts'
import { noStateStore, StateBook } from '../../kms/state.ts'
import { Generation } from '../../plugin/generation.ts'
import { fetchSvids } from '../../plugin/svids.ts'
import { ObjectOpener } from '../etcd/object_opener.ts'
import { providersOpener, recoveryKeyOpener, type SourceOpener } from '../etcd/source_opener.ts'
import { type PassphraseSource, readRecoveryKey } from '../keys/recovery_key.ts'

export interface KeyOptions extends PassphraseSource {
  /** Files of private keys. */
  readonly recoveryKey?: readonly string[]
  readonly config?: string
}

/** A person waits here and no API server, so failures that pass may take longer. */
const LIMIT_MS = 30_000

interface Keys extends AsyncDisposable {
  readonly opener: ObjectOpener
}

/** @throws ConfigError, or KmsError where a key file cannot be used */
export async function openKeys(options: KeyOptions, io: Io): Promise<Keys> {
  const { recoveryKey = [], config } = options
  if (recoveryKey.length === 0 && config === undefined) {
    throw new ConfigError([
      'Option --recovery-key or --config is needed: with what shall it be opened?',
    ])
  }
  const openers: SourceOpener[] = []
  for (const file of recoveryKey) {
    openers.push(await recoveryKeyOpener(await readRecoveryKey(file, options, io)))
  }
  const generation = config === undefined ? undefined : await providersOf(config, io)
  openers.push(...(generation === undefined ? [] : openersOf(generation)))
  const opener = new ObjectOpener(openers)
  return {
    opener,
    async [Symbol.asyncDispose]() {
      opener.close()
      await generation?.close()
    },
  }
}

/**
 * Makes the providers as the plugin does, but without recovery recipients: their files may be gone,
 * and nothing is sealed.
 */
async function providersOf(path: string, io: Io): Promise<Generation> {
  const config = await loadConfig(path)
  const events = noticesTo(io)
  return await Generation.make({ ...config, requestTimeout: LIMIT_MS }, undefined, {
    clock: systemClock,
    events,
    book: new StateBook(noStateStore, events),
    environment: io.environment,
    fetchSvids,
    onSettings: () => undefined,
  })
}

function openersOf({ served }: Generation): SourceOpener[] {
  return served.map(({ endpoint, keyring }) =>
    providersOpener(
      served.length === 1 ? "the config's providers" : `providers of endpoint "${endpoint.name}"`,
      (request) => withinLimit(systemClock, LIMIT_MS, (call) => keyring.decrypt(request, call)),
    ),
  )
}
