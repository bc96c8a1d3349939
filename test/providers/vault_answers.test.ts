import * as v from 'valibot'
import { systemClock } from '../../src/kms/clock.ts'
import { createVaultProvider } from '../../src/providers/vault.ts'
import { vaultConfig } from '../../src/providers/vault_config.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { startFakeVault } from '../_lib/fake_vault.ts'
import { vaultDialect } from '../_lib/lies/vault.ts'
import { startLyingProxy } from '../_lib/lying_proxy.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
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
