import * as v from 'valibot'
import { withinLimit } from '../../../src/base/call.ts'
import { systemClock } from '../../../src/base/clock.ts'
import { vaultConfig } from '../../../src/services/vault/config.ts'
import { createVaultProvider } from '../../../src/services/vault/provider.ts'
import { RecordedEvents } from '../../_lib/events.ts'
import { firstLook } from '../../_lib/services/vault/first_look.ts'
import { KEY_SERVER } from '../../_lib/services/vault/key_server.ts'
import { endSharedOpenBao, sharedOpenBao } from '../../_lib/services/vault/shared_openbao.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'
import { providerContract } from '../contract/provider.ts'

providerContract(`vault on ${KEY_SERVER.title}`, async () => {
  const folder = await tempFolder()
  const { bao, transit } = await sharedOpenBao(folder.path)
  const config = v.parse(vaultConfig, {
    name: 'vault-prod',
    type: 'vault',
    allowInsecureHttp: true,
    ...transit.provider,
  })
  const events = new RecordedEvents()
  const deps = { clock: systemClock, events, requestTimeoutMs: 2_500 }
  const provider = createVaultProvider(config, deps)
  await withinLimit(systemClock, 5_000, (call) => firstLook(provider, call))
  return {
    provider,
    secrets: [bao.rootToken],
    rotate: () => bao.rotate(transit),
    async [Symbol.asyncDispose]() {
      await provider.close()
      await folder[Symbol.asyncDispose]()
    },
  }
})

const last = suite('services/vault/contract, at its end', () => ({}))

last('what the tests shared ends', endSharedOpenBao)

last.run()
