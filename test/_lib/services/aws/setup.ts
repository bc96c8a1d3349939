/** A provider of type `awskms` on the fake, with time that moves by hand. @module */

import { Buffer } from 'node:buffer'
import * as v from 'valibot'
import type { Outcome, Provider } from '../../../../src/base/provider.ts'
import { type AwsKmsConfig, awsKmsConfig } from '../../../../src/services/aws/config.ts'
import { createAwsKmsProvider } from '../../../../src/services/aws/provider.ts'
import { RecordedEvents } from '../../events.ts'
import { FakeClock } from '../../fake_clock.ts'
import type { FakeKey } from './fake/keys.ts'
import type { Principal } from './fake/principals.ts'
import { FakeAws, REGION } from './fake.ts'

export const DIGEST = Buffer.alloc(32, 0xd1)

interface AwsSetup extends AsyncDisposable {
  readonly fake: FakeAws
  readonly key: FakeKey
  /** Whose keys are in the environment. */
  readonly user: Principal
  readonly clock: FakeClock
  readonly events: RecordedEvents
  readonly config: AwsKmsConfig
  readonly provider: Provider
  /** One more, such as after a restart or a change of the config. */
  another(change?: object, environment?: Readonly<Record<string, string>>): Provider
}

export async function awsSetup({
  config: own = {},
  environment,
  multiRegion = false,
}: {
  readonly config?: object
  /** Instead of the keys of a user who may do anything. */
  readonly environment?: Readonly<Record<string, string>>
  readonly multiRegion?: boolean
} = {}): Promise<AwsSetup> {
  const fake = await FakeAws.start()
  const clock = new FakeClock()
  fake.now = () => clock.now()
  const key = fake.keys.make({ multiRegion })
  fake.keys.aliases.set('k8s', key.id)
  const user = fake.principals.user()
  const events = new RecordedEvents()
  const providers: Provider[] = []
  const configOf = (change: object) =>
    v.parse(awsKmsConfig, {
      name: 'aws',
      type: 'awskms',
      key: key.arn,
      region: REGION,
      endpoint: fake.address,
      stsEndpoint: fake.address,
      allowInsecureHttp: true,
      credentials: { source: 'environment' },
      ...own,
      ...change,
    })
  const another: AwsSetup['another'] = (change = {}, variables = environment) => {
    const made = createAwsKmsProvider(configOf(change), {
      clock,
      events,
      requestTimeoutMs: 2_500,
      environment: variables ?? {
        AWS_ACCESS_KEY_ID: user.accessKeyId,
        AWS_SECRET_ACCESS_KEY: user.secretAccessKey,
      },
    })
    providers.push(made)
    return made
  }
  const provider = another()
  return {
    fake,
    key,
    user,
    clock,
    events,
    config: configOf({}),
    provider,
    another,
    async [Symbol.asyncDispose]() {
      for (const made of providers) await made.close()
      await fake[Symbol.asyncDispose]()
    },
  }
}

/** A call that ends `limitMs` from now on the clock. */
export function callOn(clock: FakeClock, limitMs = 2_500) {
  return { signal: new AbortController().signal, deadline: clock.monotonic() + limitMs }
}

export async function wrapOne(
  { provider, key, clock }: Pick<AwsSetup, 'provider' | 'key' | 'clock'>,
  text: string,
): Promise<Uint8Array> {
  const item = { plaintext: Buffer.from(text), associatedData: DIGEST }
  return valueIn((await provider.wrap(key.id, [item], callOn(clock)))[0])
}

export async function unwrapOne(
  { provider, key, clock }: Pick<AwsSetup, 'provider' | 'key' | 'clock'>,
  bytes: Uint8Array,
  associatedData: Uint8Array | undefined = DIGEST,
): Promise<string> {
  const items = [{ version: key.id, bytes, associatedData }]
  return Buffer.from(valueIn((await provider.unwrap(items, callOn(clock)))[0])).toString()
}

export function valueIn(outcome: Outcome<Uint8Array> | undefined): Uint8Array {
  if (outcome?.ok === true) return outcome.value
  throw outcome?.error ?? new Error('No outcome')
}
