import { startLyingProxy } from '../../_lib/remote/lying_proxy.ts'
import { googleDialect } from '../../_lib/services/google/lies.ts'
import { googleSetup } from '../../_lib/services/google/setup.ts'
import { answerContract, behindLiar } from '../contract/answers.ts'

answerContract(
  'gcpkms on a fake Google',
  async () => {
    const liar = await startLyingProxy(() => one.google.address)
    const one = await googleSetup({ configure: () => ({ endpoint: liar.address }) })
    return behindLiar(one.provider, liar, one)
  },
  googleDialect,
)
