import { googleSetup } from '../../_lib/services/google/setup.ts'
import { providerContract } from '../contract/provider.ts'

providerContract(
  'gcpkms on a fake Google',
  async () => {
    const one = await googleSetup()
    return {
      provider: one.provider,
      secrets: ['ya29.'],
      versionInWrap: true,
      rotate: () => {
        one.google.key.rotate(Date.now())
        return Promise.resolve()
      },
      deafen() {
        one.google.key.deaf = true
      },
      [Symbol.asyncDispose]: () => one[Symbol.asyncDispose](),
    }
  },
  { deafens: true },
)
