/**
 * Plugins that each break something, and exactly what the probe must say of each;
 * a rule with a question mark is a warning.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import {
  FAKE_ANNOTATION,
  FAKE_KEY_ID,
  type FakeOptions,
  pipe,
} from '../../_lib/grpc/fake_plugin.ts'
import {
  annotationsOf,
  atMost,
  counted,
  deadAfter,
  deterministic,
  fewConnections,
  INVALID,
  later,
  longAnnotation,
  movedByEncrypt,
  one,
  orElse,
  padded,
  plaintextInAnnotation,
  quotingPlaintext,
  refuse,
  remembering,
  renamedAnnotation,
  sameAnswerForAll,
  statusBesideEncrypt,
  throttledEncrypt,
  throttledStatus,
  UNAUTHENTICATED,
  UNAVAILABLE,
  UNKNOWN,
  versionBesideStatus,
  WINDOW_UPDATE,
  withoutPings,
} from './breakage.ts'

export const BROKEN: readonly (readonly [
  what: string,
  rules: readonly string[],
  options: FakeOptions,
])[] = [
  ['Status that always fails', ['S1'], { status: () => refuse(UNAVAILABLE) }],
  [
    'Status with a key id that is not UTF-8',
    ['S1'],
    { statusBytes: Buffer.from([0x1a, 2, 0xff, 0xfe]) },
  ],
  ['another version', ['S2'], { status: (good) => ({ ...good, version: 'v3' }) }],
  [
    'a version that changes',
    ['S3'],
    {
      status: counted((count, good) => ({ ...good, version: count < 50 ? 'v2beta1' : 'v2' })),
    },
  ],
  [
    'a key id of 1025 bytes',
    ['S7'],
    (() => {
      const keyId = FAKE_KEY_ID.padEnd(1025, 'x')
      return {
        status: (good) => ({ ...good, keyId }),
        encrypt: (_plaintext, good) => good(keyId),
      }
    })(),
  ],
  [
    'Status that learns the key id from Encrypt',
    ['S8', 'S9?'],
    movedByEncrypt((made) => `fake-key-${made}`),
  ],
  [
    'Encrypt that moves the key id on',
    ['S9?', 'E3'],
    movedByEncrypt((made) => `fake-key-${made - 1}`),
  ],
  [
    'Encrypt under a key id of its own',
    ['S8', 'E3'],
    { encrypt: (_plaintext, good) => good('fake-key-other') },
  ],
  [
    'a key id that goes back and forth',
    ['S9?'],
    {
      status: counted((count, good) =>
        count % 7 === 0 ? { ...good, keyId: 'fake-key-other' } : good,
      ),
    },
  ],
  [
    'a slow Status',
    ['S12?'],
    {
      status: counted(async (count, good) => {
        if (count === 2) await later(1_100)
        return good
      }),
    },
  ],
  ['Status that may not be asked often', ['S13'], throttledStatus()],
  ['Decrypt that never works', ['S14?', 'D1'], { decrypt: () => refuse(INVALID) }],
  ['Encrypt that never works', ['S14?', 'E1'], { encrypt: () => refuse(UNAVAILABLE) }],
  ['Status that fails while Encrypt is under way', ['S15'], statusBesideEncrypt()],
  [
    'Encrypt of 32 bytes only',
    ['E1'],
    { encrypt: (plaintext, good) => (plaintext.length === 32 ? good() : refuse(INVALID)) },
  ],
  ['a ciphertext of 1060 bytes', ['E2'], padded(1_000)],
  [
    'an empty ciphertext, as Trousseau 1.x with a static token',
    ['S14?', 'E2', 'E9', 'D1'],
    { encrypt: (_plaintext, good) => ({ ...good(), ciphertext: new Uint8Array() }) },
  ],
  ['an annotation key of one label', ['E5'], renamedAnnotation('Version')],
  ['annotations of 33000 bytes', ['E6'], longAnnotation(33_000)],
  [
    'Decrypt that wants annotations nobody gave',
    ['S14?', 'E7', 'D1'],
    { encrypt: (_plaintext, good) => ({ ...good(), annotations: {} }) },
  ],
  ['the plaintext in an annotation', ['E8'], plaintextInAnnotation()],
  ['one answer for all', ['E9', 'E10', 'D1'], sameAnswerForAll()],
  [
    'changed ciphertexts that open',
    ['E10'],
    remembering(
      (request, made) =>
        request.keyId === made.keyId &&
        annotationsOf(request) === annotationsOf(made) &&
        request.ciphertext.length > 20 &&
        Buffer.from(request.ciphertext.subarray(0, 12)).equals(made.ciphertext.subarray(0, 12)),
    ),
  ],
  ['Encrypt that is not randomised', ['E10'], deterministic()],
  [
    'a slow Encrypt',
    ['E13?'],
    {
      encrypt: counted(async (count, _plaintext, good) => {
        if (count <= 16) await later(120)
        return good()
      }),
    },
  ],
  ['Encrypt that may not be repeated', ['E15'], throttledEncrypt()],
  [
    'Decrypt that pads',
    ['D1'],
    {
      decrypt(request, good) {
        const plaintext = good(request)
        return plaintext.length === 1 ? Buffer.concat([plaintext, Buffer.alloc(15)]) : plaintext
      },
    },
  ],
  [
    'Decrypt that needs no key id',
    ['D2?'],
    {
      decrypt: (request, good) =>
        good(request.keyId === '' ? { ...request, keyId: FAKE_KEY_ID } : request),
    },
  ],
  [
    'Decrypt that needs no annotations',
    ['D2?'],
    {
      decrypt: (request, good) =>
        good(
          Object.keys(request.annotations).length === 0
            ? { ...request, annotations: one }
            : request,
        ),
    },
  ],
  [
    'Decrypt that takes any key id',
    ['D2?', 'D3'],
    { decrypt: (request, good) => good({ ...request, keyId: FAKE_KEY_ID }) },
  ],
  [
    'Decrypt that takes any annotation value',
    ['D5?'],
    {
      decrypt: (request, good) =>
        good(
          Object.keys(request.annotations).join() === FAKE_ANNOTATION
            ? { ...request, annotations: one }
            : request,
        ),
    },
  ],
  [
    'Decrypt that overlooks unknown annotations',
    ['D10?'],
    {
      decrypt(request, good) {
        const value = request.annotations[FAKE_ANNOTATION]
        return good({
          ...request,
          annotations: value === undefined ? {} : { [FAKE_ANNOTATION]: value },
        })
      },
    },
  ],
  [
    'Decrypt that fails under load',
    ['D7'],
    { decrypt: atMost(50, (request, good) => good(request)) },
  ],
  [
    'a slow Decrypt',
    ['D8?'],
    {
      async decrypt(request, good) {
        const plaintext = good(request)
        await later(120)
        return plaintext
      },
    },
  ],
  [
    'Decrypt that answers nothing instead of an error',
    ['D12'],
    {
      decrypt(request, good) {
        try {
          return good(request)
        } catch {
          return new Uint8Array()
        }
      },
    },
  ],
  [
    'HTTP/1.1',
    ['T1'],
    { front: (client) => client.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n') },
  ],
  [
    'another frame before the settings',
    ['S1', 'T2'],
    {
      front(client, forward) {
        client.write(WINDOW_UPDATE)
        pipe(client, forward())
      },
    },
  ],
  [
    'an authority of its own taste',
    ['T3'],
    {
      before: (_path, authority) => {
        if (authority !== 'localhost') refuse(INVALID)
      },
    },
  ],
  ['a socket for everybody', ['T6?'], { mode: 0o666 }],
  ['few connections', ['T10'], fewConnections(12)],
  ['pings without an answer', ['T11'], { front: withoutPings }],
  ['idle connections that are closed', ['T12?'], { idleMs: 100 }],
  ['unknown methods that are answered', ['T16'], { extraMethod: '/other.Service/Other' }],
  [
    'errors without a message',
    ['T17'],
    {
      decrypt: (request, good) =>
        orElse(
          () => good(request),
          () => refuse(INVALID, ''),
        ),
    },
  ],
  ['a handler that throws at garbage', ['T18?'], { garbageCode: UNKNOWN }],
  ['a server that gives up after many resets', ['T19?'], { front: deadAfter(100_000) }],
  ['calls that need credentials', ['S1', 'T20'], { before: () => refuse(UNAUTHENTICATED) }],
  [
    'errors without a code',
    ['F6?'],
    {
      decrypt: (request, good) =>
        orElse(
          () => good(request),
          () => refuse(UNKNOWN),
        ),
    },
  ],
  ['an error that quotes the plaintext', ['F8'], quotingPlaintext()],
  ['v1beta1 under another version', ['V1'], { v1Version: () => 'v1' }],
  [
    'v1beta1 without the ping',
    ['V2'],
    { v1Encrypt: (plain, good) => (plain.length === 4 ? refuse(INVALID) : good()) },
  ],
  [
    'a v1beta1 cipher of 70000 bytes',
    ['V3'],
    {
      v1Encrypt: (_plain, good) => Buffer.concat([good(), Buffer.alloc(70_000)]),
      v1Decrypt: (cipher, good) => good(cipher.subarray(0, -70_000)),
    },
  ],
  [
    'v1beta1 that gives back other bytes',
    ['V4'],
    { v1Decrypt: (cipher, good) => Buffer.from(good(cipher)).reverse() },
  ],
  [
    'v1beta1 that fails under load',
    ['V5'],
    { v1Decrypt: atMost(30, (cipher, good) => good(cipher)) },
  ],
  ['Version that fails beside Status', ['V6'], versionBesideStatus()],
]
