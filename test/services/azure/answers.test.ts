import { startLyingProxy } from '../../_lib/remote/lying_proxy.ts'
import { azureDialect } from '../../_lib/services/azure/lies.ts'
import { azureSetup } from '../../_lib/services/azure/setup.ts'
import { answerContract, behindLiar } from '../contract/answers.ts'

for (const hsm of [false, true]) {
  answerContract(
    `azurekms on a fake ${hsm ? 'managed HSM' : 'vault'}`,
    async () => {
      const liar = await startLyingProxy(() => one.azure.keys.address)
      const one = await azureSetup({ hsm, keysAt: liar.address })
      return behindLiar(one.provider, liar, one)
    },
    azureDialect(hsm),
  )
}
