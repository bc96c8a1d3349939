/** Ways to break a fake plugin, for `broken_plugins.ts`. @module */

import { Buffer } from 'node:buffer'
import type { Socket } from 'node:net'
import {
  FAKE_ANNOTATION,
  type FakeEncrypted,
  type FakeOptions,
  pipe,
  Refusal,
} from '../../_lib/grpc/fake_plugin.ts'

export const UNKNOWN = 2
export const INVALID = 3
const EXHAUSTED = 8
export const UNAVAILABLE = 14
export const UNAUTHENTICATED = 16

export function refuse(code: number, message = 'Refused'): never {
  throw new Refusal(message, { code })
}

/** The same function, told how often it has been called. */
export function counted<A extends unknown[], T>(
  run: (count: number, ...args: A) => T,
): (...args: A) => T {
  let count = 0
  return (...args) => {
    count += 1
    return run(count, ...args)
  }
}

export const later = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms)
  })

export const one = { [FAKE_ANNOTATION]: Buffer.from('1') }

export const withoutAnnotations: FakeOptions = {
  encrypt: (_plaintext, good) => ({ ...good(), annotations: {} }),
  decrypt(request, good) {
    if (Object.keys(request.annotations).length > 0) refuse(INVALID)
    return good({ ...request, annotations: one })
  },
}

/** Only after the first Encrypt, so that many at once (T10) pass. */
export function throttledStatus(): FakeOptions {
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

export function throttledEncrypt(): FakeOptions {
  let inARow = 0
  return {
    before(path) {
      inARow = path.endsWith('/Encrypt') ? inARow + 1 : 0
      if (inARow > 12 && path.startsWith('/v2.')) refuse(EXHAUSTED)
    },
  }
}

export function statusBesideEncrypt(): FakeOptions {
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

export function versionBesideStatus(): FakeOptions {
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

export function padded(bytes: number): FakeOptions {
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

export function renamedAnnotation(name: string): FakeOptions {
  return {
    encrypt: (_plaintext, good) => ({ ...good(), annotations: { [name]: Buffer.from('1') } }),
    decrypt(request, good) {
      const { [name]: value, ...others } = request.annotations
      const annotations = value === undefined ? others : { ...others, [FAKE_ANNOTATION]: value }
      return good({ ...request, annotations })
    },
  }
}

export function longAnnotation(bytes: number): FakeOptions {
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

export function plaintextInAnnotation(): FakeOptions {
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

/** Each Encrypt moves the key id of Status on. @param own under which it encrypts itself */
export function movedByEncrypt(own: (made: number) => string): FakeOptions {
  let made = 0
  return {
    status: (good) => ({ ...good, keyId: `fake-key-${made}` }),
    encrypt(_plaintext, good) {
      made += 1
      return good(own(made))
    },
  }
}

export function sameAnswerForAll(): FakeOptions {
  let first: FakeEncrypted | undefined
  return {
    encrypt(_plaintext, good) {
      first ??= good()
      return first
    },
  }
}

export function deterministic(): FakeOptions {
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
export function remembering(
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

export function annotationsOf({ annotations }: FakeEncrypted): string {
  return Object.entries(annotations)
    .map(([key, value]) => `${key}=${Buffer.from(value).toString('hex')}`)
    .join()
}

export function quotingPlaintext(): FakeOptions {
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

export function orElse<T>(run: () => T, failed: () => T): T {
  try {
    return run()
  } catch {
    return failed()
  }
}

export function atMost<A extends unknown[], T>(
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

export const WINDOW_UPDATE = Buffer.from([0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1])
const PING = Buffer.from([0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])

type Front = NonNullable<FakeOptions['front']>

/** Only before the first Encrypt, so that connections for other rules are taken. */
export function fewConnections(limit: number): FakeOptions {
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

export function withoutPings(client: Socket, forward: () => Socket): void {
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
export function deadAfter(bytes: number): Front {
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
