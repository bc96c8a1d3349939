/** Wrong answers in the protocol of AWS KMS. @module */

import { type Act, again, body, cut, type Dialect, field } from '../lie.ts'

const ACTS: Readonly<Record<string, Act>> = {
  'TrentService.DescribeKey': 'keyState',
  'TrentService.Encrypt': 'wrap',
  'TrentService.Decrypt': 'unwrap',
}
const OTHER = 'ffffffff-0000-0000-0000-000000000000'
const otherId = (name: string) => field(name, (text) => text.replace(/[0-9a-f-]{36}$/, OTHER))

export const awsDialect: Dialect = {
  actOf: ({ headers }) => ACTS[String(headers['x-amz-target'])],
  lies: [
    { act: 'wrap', does: 'encrypts with another key', lie: otherId('KeyId') },
    { act: 'unwrap', does: 'decrypts with another key', lie: otherId('KeyId') },
    {
      act: 'wrap',
      does: 'answers the plaintext as ciphertext',
      lie: field('CiphertextBlob', (_, { Plaintext }) => Plaintext),
    },
    {
      act: 'wrap',
      does: 'answers a ciphertext without its tag',
      lie: field('CiphertextBlob', cut),
    },
    { act: 'wrap', does: 'answers the same ciphertext for all', later: true, lie: again() },
    { act: 'wrap', does: 'answers no base64', lie: field('CiphertextBlob', (text) => `!${text}`) },
    { act: 'unwrap', does: 'answers an empty plaintext', lie: field('Plaintext', () => '') },
    {
      act: 'unwrap',
      does: 'answers the ciphertext as plaintext',
      lie: field('Plaintext', (_, { CiphertextBlob }) => CiphertextBlob),
    },
    { act: 'unwrap', does: 'answers no base64', lie: field('Plaintext', (text) => `!${text}`) },
    { act: 'keyState', does: 'tells of a key of another id', lie: otherId('KeyId') },
    { act: 'keyState', does: 'tells of a key of another ARN', lie: otherId('Arn') },
    {
      act: 'keyState',
      does: 'tells of a key in another region',
      lie: field('Arn', (arn) => arn.replace(/:eu-[a-z]+-\d:/, ':us-east-1:')),
    },
    {
      act: 'keyState',
      does: 'tells of an alias',
      lie: field('Arn', (arn) => arn.replace(/:key\/.*/, ':alias/other')),
    },
    {
      act: 'keyState',
      does: 'dates the key beyond all numbers',
      lie: (told, asked) => {
        const dated = body((one) => one)(told, asked)
        return {
          ...dated,
          body: dated.body.replace(/"CreationDate":[\d.]+/, '"CreationDate":1e999'),
        }
      },
    },
  ],
}
