import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { request } from 'undici'
import * as assert from 'uvu/assert'
import { withinLimit } from '../../src/base/call.ts'
import { FakeClock } from './fake_clock.ts'
import { suite } from './uvu.ts'

const LIMIT_MS = 1_000
const PAUSE_MS = 30

const test = suite('_lib/fake_clock', () => ({ clock: new FakeClock() }))

test('advance() passes over no request that is under way, so that its limit does not end it', async ({
  clock,
}) => {
  const server = createServer((_, response) => {
    setTimeout(() => response.end('late'), PAUSE_MS)
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => {
    server.once('listening', resolve)
  })
  const { port } = server.address() as AddressInfo
  const asked = withinLimit(clock, LIMIT_MS, async ({ signal }) => {
    const { body } = await request(`http://127.0.0.1:${port}`, { signal, reset: true })
    return await body.text()
  })

  await clock.advance(2 * LIMIT_MS)

  assert.is(await asked, 'late')
  server.close()
})

test('advance() passes over no file that is being read, nor over a key that signs', async ({
  clock,
}) => {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const { privateKey } = await crypto.subtle.generateKey(algorithm, false, ['sign', 'verify'])
  const work = withinLimit(clock, LIMIT_MS, async () => {
    const text = await readFile(fileURLToPath(import.meta.url))
    return await crypto.subtle.sign(algorithm, privateKey, text)
  })

  await clock.advance(2 * LIMIT_MS)

  assert.is((await work).byteLength, 64)
})

test('advance() ends by its limit what is under way nowhere', async ({ clock }) => {
  const work = withinLimit(clock, LIMIT_MS, () => new Promise<never>(() => undefined))
  const end = work.catch((error: Error) => error.message)

  await clock.advance(LIMIT_MS)

  assert.is(await end, `Gave up after ${LIMIT_MS} ms`)
})

test.run()
