/** Wrong answers in the protocol of the transit engine. @module */

import type { Lie } from '../../remote/lying_proxy.ts'
import { type Act, type Body, body, cut, type Dialect } from '../lie.ts'

/** Changes the results of a batch. */
function results(change: (results: Body[], items: Body[]) => Body[]): Lie {
  return body((told, asked) => ({
    ...told,
    data: { batch_results: change(told.data.batch_results, asked.batch_input) },
  }))
}

/** Changes each of them but the refusal of the trial, which is told as it is. */
function each(change: (result: Body, item: Body) => Body): Lie {
  return results((all, items) =>
    all.map((one, at) => (one.error === undefined ? { ...one, ...change(one, items[at]) } : one)),
  )
}

const withoutReferences = (all: Body[]) => all.map(({ reference: _, ...rest }) => rest)
const ciphertext = (change: (base64: string, item: Body) => string) =>
  each((one, item) => ({
    ciphertext: one.ciphertext.replace(/[^:]+$/, (text: string) => change(text, item)),
  }))
const prefix = (text: string) =>
  each((one) => ({ ciphertext: one.ciphertext.replace('vault:v1:', text) }))
const key = (change: (data: Body) => object): Lie =>
  body((told) => ({ ...told, data: { ...told.data, ...change(told.data) } }))

const OF_BATCHES: Dialect['lies'] = (['wrap', 'unwrap'] as const).flatMap((act) => [
  { act, does: 'swaps two results', lie: results((all) => all.toReversed()) },
  {
    act,
    does: 'answers references of another request',
    lie: each(() => ({ reference: '0123456789' })),
  },
  {
    act,
    does: 'repeats the reference of one item alone',
    lie: results(([one, ...others]) => [one, ...withoutReferences(others)]),
  },
  {
    act,
    does: 'answers 300 results for two items',
    lie: results(([one]) => Array.from({ length: 300 }, () => one)),
  },
  { act, does: 'answers fewer results', lie: results((all) => all.slice(1)) },
  {
    act,
    does: 'answers the same result for all, without references',
    lie: results(([one]) => withoutReferences([one, one])),
  },
])

export const vaultDialect: Dialect = {
  actOf({ path }): Act | undefined {
    if (path.includes('/encrypt/')) return 'wrap'
    if (path.includes('/decrypt/')) return 'unwrap'
    return path.includes('/keys/') ? 'keyState' : undefined
  },
  lies: [
    ...OF_BATCHES,
    { act: 'wrap', does: 'names another key version', lie: prefix('vault:v2:') },
    { act: 'wrap', does: 'writes a zero before the key version', lie: prefix('vault:v01:') },
    { act: 'wrap', does: 'writes a sign before the key version', lie: prefix('vault:v+1:') },
    { act: 'wrap', does: 'names no key version', lie: prefix('') },
    {
      act: 'wrap',
      does: 'answers the plaintext as ciphertext',
      lie: ciphertext((_, item) => item.plaintext),
    },
    { act: 'wrap', does: 'answers a ciphertext without its tag', lie: ciphertext(cut) },
    {
      act: 'wrap',
      does: 'answers no base64',
      lie: ciphertext((text) => text.replace(/^..../, '!!!!')),
    },
    {
      act: 'wrap',
      does: 'uses one nonce for all',
      lie: ciphertext((text) => text.replace(/^.{16}/, 'A'.repeat(16))),
    },
    { act: 'unwrap', does: 'answers an empty plaintext', lie: each(() => ({ plaintext: '' })) },
    {
      act: 'unwrap',
      does: 'answers the plaintext of another item, without references',
      lie: results((all) => withoutReferences(all.toReversed())),
    },
    {
      act: 'unwrap',
      does: 'answers a longer plaintext',
      lie: each(({ plaintext }) => ({ plaintext: `AAAA${plaintext}` })),
    },
    {
      act: 'unwrap',
      does: 'answers no base64',
      lie: each(({ plaintext }) => ({ plaintext: plaintext.replace(/^..../, '!!!!') })),
    },
    { act: 'keyState', does: 'tells of another key', lie: key(() => ({ name: 'other' })) },
    {
      act: 'keyState',
      does: 'lists a version under two labels',
      lie: key(({ keys }) => ({ keys: { ...keys, '01': 1 } })),
    },
    {
      act: 'keyState',
      does: 'does not tell when a version was made',
      lie: key(() => ({ keys: { '1': 'planted-remote-words' } })),
    },
    {
      act: 'keyState',
      does: 'has a label of its own words',
      lie: key(({ keys }) => ({ keys: { ...keys, 'planted-remote-words': 1 } })),
    },
  ],
}
