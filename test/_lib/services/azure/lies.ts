/** Wrong answers in the protocol of Key Vault and Managed HSM. @module */

import { Buffer } from 'node:buffer'
import type { Lie } from '../../remote/lying_proxy.ts'
import { type Act, again, type Body, body, cut, type Dialect, field } from '../lie.ts'

const OTHER_VERSION = 'f'.repeat(32)
const otherVersion = field('kid', (kid) => kid.replace(/[^/]+$/, OTHER_VERSION))
const otherKey = field('kid', (kid) => kid.replace(/\/keys\/[^/]+/, '/keys/other'))

/** Of answers that list versions, or of those that show one. */
function reading(what: 'list' | 'show', change: (told: Body) => Body): Lie {
  return (told, asked) => {
    const lists = asked.path.includes('/versions?')
    return lists === (what === 'list') ? body(change)(told, asked) : told
  }
}

function actOf({ method, path }: { readonly method: string; readonly path: string }) {
  if (/\/encrypt\?/.test(path)) return 'wrap'
  if (/\/decrypt\?/.test(path)) return 'unwrap'
  return method === 'GET' ? 'keyState' : undefined
}

const OF_OPERATIONS: Dialect['lies'] = (['wrap', 'unwrap'] as const satisfies Act[]).flatMap(
  (act) => [
    { act, does: 'uses another key version', lie: otherVersion },
    { act, does: 'uses another key', lie: otherKey },
    { act, does: 'answers no base64', lie: field('value', (text) => `!${text}`) },
  ],
)

/** @param hsm whether the key binds associated data by itself */
export function azureDialect(hsm: boolean): Dialect {
  const ofHsm: Dialect['lies'] = [
    { act: 'wrap', does: 'answers a long iv', lie: field('iv', (text) => `AAAA${text}`) },
    { act: 'wrap', does: 'answers a long tag', lie: field('tag', (text) => `AAAA${text}`) },
    {
      act: 'wrap',
      does: 'answers a ciphertext of another length',
      lie: field('value', (text) => `AAAA${text}`),
    },
    {
      act: 'wrap',
      does: 'binds other associated data',
      lie: field('aad', () => Buffer.alloc(32, 7).toString('base64url')),
    },
    {
      act: 'unwrap',
      does: 'answers a longer plaintext',
      lie: field('value', (text) => `AAAA${text}`),
    },
  ]
  const ofRsa: Dialect['lies'] = [
    {
      act: 'wrap',
      does: 'answers the plaintext as ciphertext',
      lie: field('value', (_, { value }) => value),
    },
    { act: 'wrap', does: 'answers a ciphertext that is cut off', lie: field('value', cut) },
    {
      act: 'unwrap',
      does: 'answers the ciphertext as plaintext',
      lie: field('value', (_, { value }) => value),
    },
    {
      act: 'unwrap',
      does: 'answers the digest without a plaintext',
      lie: field('value', (text) =>
        Buffer.from(text, 'base64url').subarray(0, 32).toString('base64url'),
      ),
    },
  ]
  return {
    actOf,
    lies: [
      ...OF_OPERATIONS,
      ...(hsm ? ofHsm : ofRsa),
      { act: 'wrap', does: 'answers the same ciphertext for all', later: true, lie: again() },
      { act: 'unwrap', does: 'answers an empty plaintext', lie: field('value', () => '') },
      { act: 'keyState', does: 'tells of another key', lie: otherKey },
      {
        act: 'keyState',
        does: 'shows another version than asked',
        lie: reading('show', ({ key, ...told }) => ({
          ...told,
          key: { ...key, kid: key.kid.replace(/[^/]+$/, OTHER_VERSION) },
        })),
      },
      {
        act: 'keyState',
        does: 'lists a version twice',
        lie: reading('list', ({ value, ...told }) => ({ ...told, value: [...value, ...value] })),
      },
      {
        act: 'keyState',
        does: 'has pages of versions without an end',
        lie: reading('list', ({ value, ...told }) => ({
          ...told,
          value: [],
          nextLink: `${value[0].kid.replace(/\/[^/]+$/, '/versions')}?api-version=7.4`,
        })),
      },
    ],
  }
}
