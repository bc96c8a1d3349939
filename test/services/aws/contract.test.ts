import * as v from 'valibot'
import { systemClock } from '../../../src/base/clock.ts'
import { awsKmsConfig } from '../../../src/services/aws/config.ts'
import { awsKmsPolicy } from '../../../src/services/aws/policy.ts'
import { createAwsKmsProvider } from '../../../src/services/aws/provider.ts'
import { RecordedEvents } from '../../_lib/events.ts'
import { rotate } from '../../_lib/services/aws/fake/keys.ts'
import { FakeAws } from '../../_lib/services/aws/fake.ts'
import { providerContract } from '../contract/provider.ts'

/** The provider on the fake, with a user who may do what the printed policy says and nothing more. */
async function onFake(keyOf: (fake: FakeAws) => string) {
  const fake = await FakeAws.start()
  const key = fake.keys.make()
  fake.keys.aliases.set('k8s', key.id)
  const config = v.parse(awsKmsConfig, {
    name: 'aws',
    type: 'awskms',
    key: keyOf(fake),
    region: 'eu-central-1',
    encryptionContext: { cluster: 'prod', 'team name': 'a=b' },
    endpoint: fake.address,
    allowInsecureHttp: true,
    credentials: { source: 'environment' },
  })
  const user = fake.principals.user({ policy: awsKmsPolicy([config]) })
  const provider = createAwsKmsProvider(config, {
    clock: systemClock,
    events: new RecordedEvents(),
    requestTimeoutMs: 2_500,
    environment: {
      AWS_ACCESS_KEY_ID: user.accessKeyId,
      AWS_SECRET_ACCESS_KEY: user.secretAccessKey,
    },
  })
  return {
    provider,
    secrets: [user.secretAccessKey],
    deafen() {
      key.deaf = true
    },
    rotate: () => {
      rotate(key)
      return Promise.resolve()
    },
    async [Symbol.asyncDispose]() {
      await provider.close()
      await fake[Symbol.asyncDispose]()
    },
  }
}

const arnOf = ({ keys }: FakeAws) => [...keys.all.values()][0]?.arn ?? ''

providerContract('awskms by the ARN of its key', () => onFake(arnOf), {
  selectable: false,
  deafens: true,
})
providerContract('awskms by an alias', () => onFake(() => 'alias/k8s'), {
  selectable: false,
  deafens: true,
})
