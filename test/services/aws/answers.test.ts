import { startLyingProxy } from '../../_lib/remote/lying_proxy.ts'
import { awsDialect } from '../../_lib/services/aws/lies.ts'
import { awsSetup } from '../../_lib/services/aws/setup.ts'
import { answerContract, behindLiar } from '../contract/answers.ts'

answerContract(
  'awskms on the fake, the key named by its id',
  async () => {
    const one = await awsSetup()
    const liar = await startLyingProxy(() => one.fake.address)
    return behindLiar(one.another({ key: one.key.id, endpoint: liar.address }), liar, one)
  },
  awsDialect,
)
