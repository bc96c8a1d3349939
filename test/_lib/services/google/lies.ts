/**
 * Wrong answers in the protocol of Cloud KMS. Checksums are right, unless they are what is wrong.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import type { Lie } from '../../remote/lying_proxy.ts'
import { again, type Body, body, cut, type Dialect } from '../lie.ts'
import { crcOf } from './fake/key.ts'

function fields(change: (told: Body, asked: Body) => object): Lie {
  return body((told, asked) => ({ ...told, ...change(told, asked) }))
}

/** Other bytes, with the sum that goes with them. */
function bytes(name: string, change: (base64: string, asked: Body) => string): Lie {
  return fields((told, asked) => {
    const text = change(told[name], asked)
    return { [name]: text, [`${name}Crc32c`]: crcOf(Buffer.from(text, 'base64')) }
  })
}

const otherKey = (name: string) => name.replace(/cryptoKeys\/[^/]+/, 'cryptoKeys/other')

/** Of answers that list versions, or of those that show the key. */
function reading(what: 'list' | 'show', change: (told: Body) => object): Lie {
  return (told, asked) => {
    const lists = asked.path.includes('/cryptoKeyVersions?')
    return lists === (what === 'list') ? fields(change)(told, asked) : told
  }
}

export const googleDialect: Dialect = {
  actOf({ path }) {
    if (path.endsWith(':encrypt')) return 'wrap'
    if (path.endsWith(':decrypt')) return 'unwrap'
    return path.startsWith('/v1/projects/') ? 'keyState' : undefined
  },
  lies: [
    {
      act: 'wrap',
      does: 'encrypts under another version',
      lie: fields(({ name }) => ({ name: name.replace(/\d+$/, '7') })),
    },
    {
      act: 'wrap',
      does: 'encrypts with another key',
      lie: fields(({ name }) => ({ name: otherKey(name) })),
    },
    {
      act: 'wrap',
      does: 'answers the plaintext as ciphertext',
      lie: bytes('ciphertext', (_, { plaintext }) => plaintext),
    },
    { act: 'wrap', does: 'answers a ciphertext without its tag', lie: bytes('ciphertext', cut) },
    { act: 'wrap', does: 'answers the same ciphertext for all', later: true, lie: again() },
    {
      act: 'wrap',
      does: 'answers no base64',
      lie: fields(({ ciphertext }) => ({ ciphertext: `!${ciphertext}` })),
    },
    { act: 'unwrap', does: 'answers an empty plaintext', lie: bytes('plaintext', () => '') },
    {
      act: 'unwrap',
      does: 'answers the ciphertext as plaintext',
      lie: bytes('plaintext', (_, { ciphertext }) => ciphertext),
    },
    {
      act: 'keyState',
      does: 'tells of another key',
      lie: reading('show', ({ name }) => ({ name: otherKey(name) })),
    },
    {
      act: 'keyState',
      does: 'names a primary version of another key',
      lie: reading('show', ({ primary }) => ({
        primary: { ...primary, name: otherKey(primary.name) },
      })),
    },
    {
      act: 'keyState',
      does: 'lists versions of another key',
      lie: reading('list', ({ cryptoKeyVersions }) => ({
        cryptoKeyVersions: cryptoKeyVersions.map((one: Body) => ({
          ...one,
          name: otherKey(one.name),
        })),
      })),
    },
    {
      act: 'keyState',
      does: 'lists a version twice',
      lie: reading('list', ({ cryptoKeyVersions: all }) => ({
        cryptoKeyVersions: [...all, ...all],
      })),
    },
    {
      act: 'keyState',
      does: 'has pages of versions without an end',
      lie: reading('list', () => ({ cryptoKeyVersions: [], nextPageToken: 'page 0' })),
    },
  ],
}
