import * as v from 'valibot'
import { systemClock } from '../../../src/base/clock.ts'
import { vaultConfig } from '../../../src/services/vault/config.ts'
import { createVaultProvider } from '../../../src/services/vault/provider.ts'
import { RecordedEvents } from '../../_lib/events.ts'
import { startLyingProxy } from '../../_lib/remote/lying_proxy.ts'
import { startFakeVault } from '../../_lib/services/vault/fake.ts'
import { vaultDialect } from '../../_lib/services/vault/lies.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { answerContract } from '../contract/answers.ts'

answerContract(
  'vault on a fake',
  async () => {
    const folder = await tempFolder()
    const vault = await startFakeVault()
    const approle = await vault.setupApprole(folder.path)
    const liar = await startLyingProxy(() => vault.addresses[0] ?? '')
    const fields = { name: 'v', type: 'vault', allowInsecureHttp: true, address: liar.address }
    const config = v.parse(vaultConfig, { ...approle.provider, ...fields })
    const events = new RecordedEvents()
    const provider = createVaultProvider(config, {
      clock: systemClock,
      events,
      requestTimeoutMs: 2_500,
    })
    return {
      provider,
      liar,
      async [Symbol.asyncDispose]() {
        await provider.close()
        await liar[Symbol.asyncDispose]()
        await vault[Symbol.asyncDispose]()
        await folder[Symbol.asyncDispose]()
      },
    }
  },
  vaultDialect,
)
