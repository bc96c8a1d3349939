/** Wrong answers that a service can give, in the protocol of each. @module */

import { Buffer } from 'node:buffer'
import type { Asked, Lie, Told } from '../remote/lying_proxy.ts'

export type Act = 'keyState' | 'wrap' | 'unwrap'

/** How one kind of service encodes its answers. */
export interface Dialect {
  /** What a request is for; undefined for a login. */
  readonly actOf: (asked: Asked) => Act | undefined
  readonly lies: readonly SpecificLie[]
}

interface SpecificLie {
  /** What the service does, for titles. */
  readonly does: string
  readonly act: Act
  readonly lie: Lie
  /** True where the first of two requests cannot be known for a lie yet. */
  readonly later?: boolean
}

/** JSON of any shape: a lie need not have one. */
export type Body = ReturnType<typeof JSON.parse>

/** Changes the body of an answer, which is JSON, as is what was asked. */
export function body(change: (told: Body, asked: Body) => Body): Lie {
  return (told, asked) => {
    const read = asked.body === '' ? {} : JSON.parse(asked.body)
    return { ...told, body: JSON.stringify(change(JSON.parse(told.body), read)) }
  }
}

/** Changes a field of it, wherever it stands. */
export function field(name: string, change: (value: string, asked: Body) => unknown): Lie {
  return body((told, asked) =>
    JSON.parse(JSON.stringify(told), (key, value) => (key === name ? change(value, asked) : value)),
  )
}

/** The same answer for ever. */
export function again(): Lie {
  const first: Told[] = []
  return (told) => {
    first.push(told)
    return first[0] ?? told
  }
}

export function cut(base64: string): string {
  return Buffer.from(base64, 'base64').subarray(0, 20).toString('base64')
}

const PAGE = '<html><title>Sign in</title>planted-remote-words</html>'
const HTML = { 'content-type': 'text/html' }
const N = 2_000_000

/** Answers that are wrong at every kind of service, and the code that each leads to. */
export const HOLLOW: readonly (readonly [does: string, code: string, told: () => Told])[] = [
  ['nests arrays 2 million deep', 'protocol', () => ok('['.repeat(N) + ']'.repeat(N))],
  ['nests objects without an end', 'protocol', () => ok('{"data":'.repeat(N / 4))],
  [
    'refuses with what nests 2 million deep',
    'unavailable',
    () => ({ ...ok(`{"errors":${'['.repeat(N)}`), status: 400 }),
  ],
  ['answers 2 million numbers', 'protocol', () => ok(`[${'0,'.repeat(N)}0]`)],
  [
    'answers 90 000 empty objects where results stand',
    'protocol',
    () =>
      ok(`{"data":{"batch_results":[${'{},'.repeat(90_000)}{}]},"value":[${'{},'.repeat(9)}{}]}`),
  ],
  ['answers a number of 4 million digits', 'protocol', () => ok('1'.repeat(2 * N))],
  [
    'answers nothing but __proto__, many times',
    'protocol',
    () =>
      ok(`{${Array(1_000).fill('"__proto__":{"data":{},"name":"planted-remote-words"}').join()}}`),
  ],
  ['answers an empty object', 'protocol', () => ok('{}')],
  ['answers null', 'protocol', () => ok('null')],
  ['answers nothing', 'unavailable', () => ok('')],
  ['answers 200 with a page', 'unavailable', () => ({ status: 200, body: PAGE, headers: HTML })],
  ...[400, 403, 404, 405, 406, 418, 421].map(
    (status) =>
      [
        `answers ${status} with a page`,
        'unavailable',
        () => ({ status, body: PAGE, headers: HTML }),
      ] as const,
  ),
  ...[301, 302, 303, 307, 308].map(
    (status) =>
      [
        `sends with ${status} to a login page`,
        'unavailable',
        () => ({
          status,
          body: PAGE,
          headers: { location: 'https://login.example/planted-remote-words' },
        }),
      ] as const,
  ),
]

function ok(text: string): Told {
  return { status: 200, body: text, headers: { 'content-type': 'application/json' } }
}
