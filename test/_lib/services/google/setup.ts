/** A provider of type `gcpkms` beside a fake Google that it speaks to. @module */

import * as v from 'valibot'
import { type Clock, systemClock } from '../../../../src/base/clock.ts'
import { gcpKmsConfig } from '../../../../src/services/google/config.ts'
import { createGcpKmsProvider } from '../../../../src/services/google/provider.ts'
import { RecordedEvents } from '../../events.ts'
import { type TempFolder, tempFolder } from '../../temp_folder.ts'
import { type ProviderSetup, providerSetup } from '../provider_setup.ts'
import { FakeGoogle, KEY } from './fake.ts'

export interface GoogleSetup extends ProviderSetup {
  readonly google: FakeGoogle
}

interface GoogleSetupOptions {
  readonly clock?: Clock
  readonly limitMs?: number
  /** How far the clock of this node is ahead of Google's. */
  readonly aheadMs?: number
  /** Writes files, and says how the config differs from a login at the metadata server. */
  readonly configure?: (
    google: FakeGoogle,
    folder: TempFolder,
  ) => Promise<Record<string, unknown>> | Record<string, unknown>
}

export async function googleSetup({
  clock = systemClock,
  limitMs = 2_500,
  aheadMs = 0,
  configure = () => ({}),
}: GoogleSetupOptions = {}): Promise<GoogleSetup> {
  const folder = await tempFolder()
  const google = await FakeGoogle.start(() => clock.now() - aheadMs)
  const config = v.parse(gcpKmsConfig, {
    name: 'google',
    type: 'gcpkms',
    key: KEY,
    endpoint: google.address,
    allowInsecureHttp: true,
    auth: { method: 'metadata', address: google.address },
    ...(await configure(google, folder)),
  })
  const events = new RecordedEvents()
  const provider = createGcpKmsProvider(config, { clock, events, requestTimeoutMs: limitMs })
  return { google, ...providerSetup({ provider, events, folder, fake: google, clock, limitMs }) }
}
