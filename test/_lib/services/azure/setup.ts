/** A fake of Azure, and a provider that logs in to it with a client secret. @module */

import { writeFile } from 'node:fs/promises'
import * as v from 'valibot'
import { type Clock, systemClock } from '../../../../src/base/clock.ts'
import { azureKmsConfig } from '../../../../src/services/azure/config.ts'
import { createAzureKmsProvider } from '../../../../src/services/azure/provider.ts'
import { RecordedEvents } from '../../events.ts'
import { tempFolder } from '../../temp_folder.ts'
import { type ProviderSetup, providerSetup } from '../provider_setup.ts'
import { type FakeAzure, type FakeAzureOptions, startFakeAzure } from './fake.ts'

export interface AzureSetup extends ProviderSetup {
  readonly azure: FakeAzure
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
  return { azure, ...providerSetup({ provider, events, folder, fake: azure, clock, limitMs }) }
}
