import { Buffer } from 'node:buffer'
import type { Socket } from 'node:net'
import * as assert from 'uvu/assert'
import type { Finding } from '../../src/grpc/conformance/rule.ts'
import { checkConformance } from '../../src/grpc/conformance.ts'
import {
  FAKE_ANNOTATION,
  FAKE_KEY_ID,
  type FakeEncrypted,
  type FakeOptions,
  pipe,
  Refusal,
  startFakePlugin,
} from '../_lib/fake_plugin.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const UNKNOWN = 2
const INVALID = 3
const EXHAUSTED = 8
const UNAVAILABLE = 14
const UNAUTHENTICATED = 16
const OPTIONS = { timeoutMs: 3_000, idleMs: 0 }
const IDLE_MS = 500

const test = suite('grpc/conformance', () => ({}), 30_000)

async function probe(options: FakeOptions): Promise<Finding[]> {
  await using plugin = await startFakePlugin(options)
  const idleMs = options.idleMs === undefined ? 0 : IDLE_MS
  return await checkConformance(plugin.path, { ...OPTIONS, idleMs })
}

/** `D3` for a failure, `D5?` for a warning. */
function broken(findings: readonly Finding[]): string[] {
  return findings
    .filter(({ result }) => result === 'fail' || result === 'warn')
    .map(({ rule, result }) => (result === 'warn' ? `${rule}?` : rule))
}

function skipped(findings: readonly Finding[]): string[] {
  return findings
    .filter(({ result }) => result === 'skipped')
    .map(({ rule, detail }) => `${rule}: ${detail}`)
}

function refuse(code: number, message = 'Refused'): never {
  throw new Refusal(message, { code })
}

/** The same function, told how often it has been called. */
function counted<A extends unknown[], T>(run: (count: number, ...args: A) => T): (...args: A) => T {
  let count = 0
  return (...args) => {
    count += 1
    return run(count, ...args)
  }
}

const later = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms)
  })

const one = { [FAKE_ANNOTATION]: Buffer.from('1') }

const withoutAnnotations: FakeOptions = {
  encrypt: (_plaintext, good) => ({ ...good(), annotations: {} }),
  decrypt(request, good) {
    if (Object.keys(request.annotations).length > 0) refuse(INVALID)
    return good({ ...request, annotations: one })
  },
}

test('checkConformance() has nothing to say against a good plugin', async () => {
  const findings = await probe({})

  assert.equal(broken(findings), [])
  assert.equal(skipped(findings), ['E7: this plugin needs its annotations'])
})

test('checkConformance() skips v1beta1 and annotations where there are none', async () => {
  const findings = await probe({ v2Only: true, ...withoutAnnotations })

  assert.equal(broken(findings), [])
  assert.equal(skipped(findings), [
    'E5: there are no annotations',
    'E6: there are no annotations',
    'D5: there are no annotations; D3 shows the key id',
    ...['V1', 'V2', 'V3', 'V4', 'V5', 'V6'].map((rule) => `${rule}: v1beta1 is not served`),
  ])
})

test('checkConformance() stops at a plugin that is not healthy, and says so [S4]', async () => {
  const findings = await probe({ status: (good) => ({ ...good, healthz: 'OK' }) })

  assert.equal(broken(findings), ['S4'])
  assert.match(skipped(findings).join('\n'), /^E1: the plugin says that it is not healthy \(S4\)/m)
})

test('checkConformance() stops where nobody listens [T1]', async () => {
  await using folder = await tempFolder()
  for (const path of [folder.at('missing.sock'), folder.path]) {
    const findings = await checkConformance(path, OPTIONS)

    assert.equal(broken(findings), ['T1'])
    assert.is(skipped(findings).length, findings.length - 1)
    assert.match(findings.find(({ rule }) => rule === 'T1')?.detail ?? '', /^Cannot connect to /)
  }
})

/** Each breaks something, and these are all the rules that the probe must name for it. */
const BROKEN: readonly (readonly [what: string, rules: readonly string[], options: FakeOptions])[] =
  [
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
      (() => {
        let made = 0
        return {
          status: (good) => ({ ...good, keyId: `fake-key-${made}` }),
          encrypt(_plaintext, good) {
            made += 1
            return good(`fake-key-${made}`)
          },
        }
      })(),
    ],
    [
      'Encrypt that moves the key id on',
      ['S9?', 'E3'],
      (() => {
        let made = 0
        return {
          status: (good) => ({ ...good, keyId: `fake-key-${made}` }),
          encrypt(_plaintext, good) {
            made += 1
            return good(`fake-key-${made - 1}`)
          },
        }
      })(),
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

for (const [what, rules, options] of BROKEN) {
  test(`checkConformance() names ${rules.join(', ')} for ${what}`, async () => {
    assert.equal(broken(await probe(options)), rules)
  })
}

test('checkConformance() has a broken plugin for every rule it knows', async () => {
  const known = (await probe({})).map(({ rule }) => rule)

  const named = new Set(BROKEN.flatMap(([, rules]) => rules.map((rule) => rule.replace('?', ''))))
  // S4 has a test of its own.
  assert.equal(
    known.filter((rule) => !named.has(rule)),
    ['S4'],
  )
})

/** Only after the first Encrypt, so that many at once (T10) pass. */
function throttledStatus(): FakeOptions {
  let encrypted = false
  let inARow = 0
  return {
    before(path) {
      encrypted ||= path.endsWith('v2.KeyManagementService/Encrypt')
      inARow = path.endsWith('/Status') ? inARow + 1 : 0
      if (encrypted && inARow >= 60 && inARow < 80) refuse(EXHAUSTED)
    },
  }
}

function throttledEncrypt(): FakeOptions {
  let inARow = 0
  return {
    before(path) {
      inARow = path.endsWith('/Encrypt') ? inARow + 1 : 0
      if (inARow > 12 && path.startsWith('/v2.')) refuse(EXHAUSTED)
    },
  }
}

function statusBesideEncrypt(): FakeOptions {
  let busy = 0
  return {
    status: (good) => (busy > 0 ? refuse(UNAVAILABLE) : good),
    async encrypt(_plaintext, good) {
      busy += 1
      await later(10)
      busy -= 1
      return good()
    },
  }
}

function versionBesideStatus(): FakeOptions {
  let busy = 0
  return {
    async status(good) {
      busy += 1
      await later(5)
      busy -= 1
      return good
    },
    v1Version: () => (busy > 0 ? refuse(UNAVAILABLE) : 'v1beta1'),
  }
}

function padded(bytes: number): FakeOptions {
  return {
    encrypt(_plaintext, good) {
      const made = good()
      return { ...made, ciphertext: Buffer.concat([made.ciphertext, Buffer.alloc(bytes)]) }
    },
    decrypt(request, good) {
      const pad = request.ciphertext.subarray(-bytes)
      if (pad.some((byte) => byte !== 0)) refuse(INVALID)
      return good({ ...request, ciphertext: request.ciphertext.subarray(0, -bytes) })
    },
  }
}

function renamedAnnotation(name: string): FakeOptions {
  return {
    encrypt: (_plaintext, good) => ({ ...good(), annotations: { [name]: Buffer.from('1') } }),
    decrypt(request, good) {
      const { [name]: value, ...others } = request.annotations
      const annotations = value === undefined ? others : { ...others, [FAKE_ANNOTATION]: value }
      return good({ ...request, annotations })
    },
  }
}

function longAnnotation(bytes: number): FakeOptions {
  const value = Buffer.alloc(bytes, 'x')
  return {
    encrypt: (_plaintext, good) => ({ ...good(), annotations: { [FAKE_ANNOTATION]: value } }),
    decrypt(request, good) {
      const { [FAKE_ANNOTATION]: given, ...others } = request.annotations
      if (given === undefined || !value.equals(given)) refuse(INVALID)
      return good({ ...request, annotations: { ...others, ...one } })
    },
  }
}

function plaintextInAnnotation(): FakeOptions {
  const name = 'debug.fake.example.org'
  return {
    encrypt(plaintext, good) {
      const made = good()
      const debug = Buffer.from(Buffer.from(plaintext).toString('base64'))
      return { ...made, annotations: { ...made.annotations, [name]: debug } }
    },
    decrypt(request, good) {
      const { [name]: debug, ...annotations } = request.annotations
      const plaintext = good({ ...request, annotations })
      const wanted = Buffer.from(plaintext).toString('base64')
      if (debug === undefined || Buffer.from(debug).toString() !== wanted) refuse(INVALID)
      return plaintext
    },
  }
}

function sameAnswerForAll(): FakeOptions {
  let first: FakeEncrypted | undefined
  return {
    encrypt(_plaintext, good) {
      first ??= good()
      return first
    },
  }
}

function deterministic(): FakeOptions {
  const made = new Map<string, FakeEncrypted>()
  return {
    encrypt(plaintext, good) {
      const name = Buffer.from(plaintext).toString('hex')
      const answer = made.get(name) ?? good()
      made.set(name, answer)
      return answer
    },
  }
}

/** Opens by memory whatever passes for something it made. */
function remembering(
  passes: (request: FakeEncrypted, made: FakeEncrypted) => boolean,
): FakeOptions {
  const all: { plaintext: Uint8Array; made: FakeEncrypted }[] = []
  return {
    encrypt(plaintext, good) {
      const made = good()
      all.push({ plaintext, made })
      return made
    },
    decrypt: (request, good) =>
      all.find(({ made }) => passes(request, made))?.plaintext ?? good(request),
  }
}

function annotationsOf({ annotations }: FakeEncrypted): string {
  return Object.entries(annotations)
    .map(([key, value]) => `${key}=${Buffer.from(value).toString('hex')}`)
    .join()
}

function quotingPlaintext(): FakeOptions {
  let last: Uint8Array = new Uint8Array()
  return {
    encrypt(plaintext, good) {
      if (plaintext.length === 32) last = plaintext
      return good()
    },
    decrypt: (request, good) =>
      orElse(
        () => good(request),
        () => refuse(INVALID, `Expected ${Buffer.from(last).toString('base64')}`),
      ),
  }
}

function orElse<T>(run: () => T, failed: () => T): T {
  try {
    return run()
  } catch {
    return failed()
  }
}

function atMost<A extends unknown[], T>(
  limit: number,
  run: (...args: A) => T,
): (...args: A) => Promise<T> {
  let active = 0
  return async (...args) => {
    active += 1
    try {
      await later(5)
      return active > limit ? refuse(EXHAUSTED) : run(...args)
    } finally {
      active -= 1
    }
  }
}

const WINDOW_UPDATE = Buffer.from([0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1])
const PING = Buffer.from([0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])

type Front = NonNullable<FakeOptions['front']>

/** Only before the first Encrypt, so that connections for other rules are taken. */
function fewConnections(limit: number): FakeOptions {
  let encrypted = false
  let opened = 0
  return {
    before(path) {
      encrypted ||= path.endsWith('/Encrypt')
    },
    front(client, forward) {
      opened += 1
      if (opened > limit && !encrypted) client.destroy()
      else pipe(client, forward())
    },
  }
}

function withoutPings(client: Socket, forward: () => Socket): void {
  const server = forward()
  client.on('data', (bytes) => {
    const chunk = Buffer.from(bytes)
    const at = chunk.indexOf(PING.subarray(0, 9))
    if (at === -1) server.write(chunk)
    else server.write(Buffer.concat([chunk.subarray(0, at), chunk.subarray(at + PING.length)]))
  })
  client.on('close', () => server.destroy())
  server.on('error', () => client.destroy())
  server.on('close', () => client.destroy())
  server.pipe(client)
}

/** No new connections once one has sent so much. */
function deadAfter(bytes: number): Front {
  let dead = false
  return (client, forward) => {
    if (dead) {
      client.destroy()
      return
    }
    let sent = 0
    client.on('data', (chunk) => {
      sent += chunk.length
      dead ||= sent > bytes
    })
    pipe(client, forward())
  }
}

test.run()
