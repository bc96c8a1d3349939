import { azureSetup } from '../_lib/azure_setup.ts'
import { providerContract } from '../contract/provider.ts'

for (const hsm of [false, true]) {
  providerContract(`azurekms on a fake ${hsm ? 'managed HSM' : 'vault'}`, async () => {
    const one = await azureSetup({ hsm })
    const { azure, provider } = one
    return {
      provider,
      secrets: [azure.tokens.secret, 'planted'],
      rotate: () => Promise.resolve(void azure.rotate()),
      [Symbol.asyncDispose]: () => one[Symbol.asyncDispose](),
    }
  })
}
