import { googleSetup } from '../_lib/google_setup.ts'
import { googleDialect } from '../_lib/lies/google.ts'
import { startLyingProxy } from '../_lib/lying_proxy.ts'
import { answerContract } from '../contract/answers.ts'

answerContract(
  'gcpkms on a fake Google',
  async () => {
    const liar = await startLyingProxy(() => one.google.address)
    const one = await googleSetup({ configure: () => ({ endpoint: liar.address }) })
    return {
      provider: one.provider,
      liar,
      async [Symbol.asyncDispose]() {
        await one[Symbol.asyncDispose]()
        await liar[Symbol.asyncDispose]()
      },
    }
  },
  googleDialect,
)
