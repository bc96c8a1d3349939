/** A fake of Azure, and a provider that logs in to it with a client secret. @module */

import { writeFile } from 'node:fs/promises'
import * as v from 'valibot'
import { withinLimit } from '../../../../src/base/call.ts'
import { type Clock, systemClock } from '../../../../src/base/clock.ts'
import type { Call, Provider } from '../../../../src/base/provider.ts'
import { azureKmsConfig } from '../../../../src/services/azure/config.ts'
import { createAzureKmsProvider } from '../../../../src/services/azure/provider.ts'
import { RecordedEvents } from '../../events.ts'
import { type TempFolder, tempFolder } from '../../temp_folder.ts'
import { type FakeAzure, type FakeAzureOptions, startFakeAzure } from './fake.ts'

export interface AzureSetup extends AsyncDisposable {
  readonly azure: FakeAzure
  readonly provider: Provider
  readonly events: RecordedEvents
  readonly folder: TempFolder
  readonly limited: <T>(work: (call: Call) => Promise<T>) => Promise<T>
}

export async function azureSetup(
  options: FakeAzureOptions & {
    readonly change?: Readonly<Record<string, unknown>>
    readonly limitMs?: number
    readonly clock?: Clock
    /** Where its keys are asked for; at the fake itself where absent. */
    readonly keysAt?: string
  } = {},
): Promise<AzureSetup> {
  const { change = {}, limitMs = 2_500, clock = systemClock, keysAt } = options
  const folder = await tempFolder()
  const azure = await startFakeAzure(options)
  const { tenantId, clientId, secret } = azure.tokens
  const secretFile = folder.at('secret')
  await writeFile(secretFile, `${secret}\n`)
  const login = { method: 'clientSecret', tenantId, clientId, secretFile }
  const { keys, entra, metadata } = azure
  const endpoints = {
    vault: keysAt ?? keys.address,
    authority: entra.address,
    metadata: metadata.address,
  }
  const config = v.parse(azureKmsConfig, { ...azure.config, endpoints, login, ...change })
  const events = new RecordedEvents()
  const deps = { clock, events, requestTimeoutMs: limitMs }
  const provider = createAzureKmsProvider(config, deps)
  return {
    azure,
    provider,
    events,
    folder,
    limited: (work) => withinLimit(clock, limitMs, work),
    async [Symbol.asyncDispose]() {
      await provider.close()
      await azure[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}
