import { readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import type { HttpRequest } from '../../../src/remote/http/client.ts'
import { AwsApi, awsClock } from '../../../src/services/aws/api.ts'
import { awsEndpoint, partitionOf } from '../../../src/services/aws/endpoints.ts'
import { faultOf } from '../../../src/services/aws/fault.ts'
import { RecordedEvents } from '../../_lib/events.ts'
import { FakeClock } from '../../_lib/fake_clock.ts'
import { parseAuthorization, signatureOf } from '../../_lib/services/aws/fake/signature.ts'
import { suite } from '../../_lib/uvu.ts'

const call = { signal: new AbortController().signal, deadline: Number.POSITIVE_INFINITY }

const vectorFile = v.object({
  accessKeyId: v.string(),
  secretAccessKey: v.string(),
  region: v.string(),
  service: v.string(),
  host: v.string(),
  date: v.string(),
  requests: v.array(
    v.object({
      name: v.string(),
      headers: v.record(v.string(), v.string()),
      sessionToken: v.optional(v.string()),
      body: v.string(),
      signature: v.string(),
    }),
  ),
})
const vectors = v.parse(
  vectorFile,
  JSON.parse(await readFile(new URL('../../vectors/sigv4.json', import.meta.url), 'utf8')),
)

const test = suite('services/aws/api', () => {
  const clock = new FakeClock()
  clock.wallOffset = Date.UTC(2015, 7, 30, 12, 36)
  const events = new RecordedEvents()
  const sent: HttpRequest[] = []
  const client = {
    address: `https://${vectors.host}`,
    send(request: HttpRequest) {
      sent.push(request)
      const header = () => undefined
      const kept = false
      return Promise.resolve({
        status: 200,
        address: '',
        kept,
        serviceTime: undefined,
        header,
        text: '',
      })
    },
  }
  const signing = awsClock(clock, { events, provider: 'aws' })
  const { service, region } = vectors
  return { sent, events, api: new AwsApi(client, { service, region, clock: signing }) }
})

for (const { name, headers, sessionToken, body, signature } of vectors.requests) {
  test(`send() signs ${name} of AWS's own test suite as it says`, async ({ api, sent }) => {
    const { accessKeyId, secretAccessKey } = vectors

    await api.send(
      { headers, body },
      { accessKeyId, secretAccessKey, sessionToken, expiresAt: undefined },
      call,
    )

    const found = parseAuthorization(sent[0]?.headers['authorization'])
    assert.is(found?.signature, signature)
    assert.is(found?.accessKeyId, accessKeyId)
    assert.is(sent[0]?.headers['x-amz-date'], vectors.date)
  })

  test(`the fake's own judgement agrees with ${name}`, () => {
    const token = sessionToken === undefined ? {} : { 'x-amz-security-token': sessionToken }
    const all = { ...headers, ...token, host: vectors.host, 'x-amz-date': vectors.date }
    const { region, service } = vectors
    const scope = { day: vectors.date.slice(0, 8), region, service }
    const signedHeaders = Object.keys(all).toSorted((a, b) => (a < b ? -1 : 1))

    const made = signatureOf(
      { method: 'POST', path: '/', headers: all, body },
      { ...scope, signedHeaders },
      vectors.secretAccessKey,
    )

    assert.is(made, signature)
  })
}

test('send() without credentials signs nothing', async ({ api, sent }) => {
  await api.send({ headers: { a: 'b' }, body: 'x' }, undefined, call)

  assert.equal(sent[0]?.headers, { a: 'b' })
})

for (const [place, kms, sts] of [
  [{ region: 'eu-central-1' }, 'kms.eu-central-1.amazonaws.com', 'sts.eu-central-1.amazonaws.com'],
  [
    { region: 'us-east-1', fips: true },
    'kms-fips.us-east-1.amazonaws.com',
    'sts-fips.us-east-1.amazonaws.com',
  ],
  [{ region: 'eu-west-1', dualStack: true }, 'kms.eu-west-1.api.aws', 'sts.eu-west-1.api.aws'],
  [
    { region: 'us-west-2', fips: true, dualStack: true },
    'kms-fips.us-west-2.api.aws',
    'sts-fips.us-west-2.api.aws',
  ],
  [{ region: 'cn-north-1' }, 'kms.cn-north-1.amazonaws.com.cn', 'sts.cn-north-1.amazonaws.com.cn'],
  [
    { region: 'us-gov-west-1', fips: true },
    'kms-fips.us-gov-west-1.amazonaws.com',
    'sts.us-gov-west-1.amazonaws.com',
  ],
  [{ region: 'us-iso-east-1' }, 'kms.us-iso-east-1.c2s.ic.gov', 'sts.us-iso-east-1.c2s.ic.gov'],
] as const) {
  test(`awsEndpoint() of ${JSON.stringify(place)} is ${kms}`, () => {
    const whole = { fips: false, dualStack: false, ...place }

    assert.is(awsEndpoint('kms', whole), `https://${kms}`)
    assert.is(awsEndpoint('sts', whole), `https://${sts}`)
  })
}

test('partitionOf() knows China, GovCloud and the European sovereign cloud', () => {
  const found = ['eu-west-1', 'cn-northwest-1', 'us-gov-east-1', 'eusc-de-east-1'].map(partitionOf)

  assert.equal(found, ['aws', 'aws-cn', 'aws-us-gov', 'aws-eusc'])
})

for (const [status, text, header, name, kind] of [
  [400, '{"__type":"ThrottlingException"}', '', 'ThrottlingException', 'throttled'],
  [400, '{"__type":"com.amazonaws.kms#NotFoundException"}', '', 'NotFoundException', 'other'],
  [400, '', 'ExpiredTokenException:http://aws/', 'ExpiredTokenException', 'credentials'],
  [
    403,
    '<Error><Code>SignatureDoesNotMatch</Code></Error>',
    '',
    'SignatureDoesNotMatch',
    'signature',
  ],
  [400, '{"__type":"what <is> this"}', '', '', 'foreign'],
  [403, '<html>', '', '', 'foreign'],
  [302, '', '', '', 'foreign'],
  [429, 'slow down', '', '', 'throttled'],
  [503, '<html>', '', '', 'passing'],
] as const) {
  test(`faultOf() reads ${status} ${text}${header} as ${kind}`, () => {
    const about = { address: '', kept: false, serviceTime: undefined }
    const answer = { status, text, ...about, header: () => header }

    assert.equal(faultOf(answer), { name, kind })
  })
}

test.run()
