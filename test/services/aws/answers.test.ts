import { startLyingProxy } from '../../_lib/remote/lying_proxy.ts'
import { awsDialect } from '../../_lib/services/aws/lies.ts'
import { awsSetup } from '../../_lib/services/aws/setup.ts'
import { answerContract } from '../contract/answers.ts'

answerContract(
  'awskms on the fake, the key named by its id',
  async () => {
    const one = await awsSetup()
    const liar = await startLyingProxy(() => one.fake.address)
    return {
      provider: one.another({ key: one.key.id, endpoint: liar.address }),
      liar,
      async [Symbol.asyncDispose]() {
        await one[Symbol.asyncDispose]()
        await liar[Symbol.asyncDispose]()
      },
    }
  },
  awsDialect,
)
