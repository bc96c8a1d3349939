import { azureSetup } from '../../_lib/services/azure/setup.ts'
import { providerContract } from '../contract/provider.ts'

for (const hsm of [false, true]) {
  providerContract(
    `azurekms on a fake ${hsm ? 'managed HSM' : 'vault'}`,
    async () => {
      const one = await azureSetup({ hsm })
      const { azure, provider } = one
      return {
        provider,
        secrets: [azure.tokens.secret, 'planted'],
        rotate: () => Promise.resolve(void azure.rotate()),
        deafen() {
          azure.state.deaf = true
        },
        [Symbol.asyncDispose]: () => one[Symbol.asyncDispose](),
      }
      // With an RSA key the provider binds by itself, inside.
    },
    { deafens: hsm },
  )
}
