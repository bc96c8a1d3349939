/**
 * Clients that mean harm, over one connection and over many, beside one that does not: the memory of
 * the bundle stays bounded, and the good client notices nothing. `npm run test:limits` has all attacks.
 */

import { Buffer } from 'node:buffer'
import { connect as connectHttp2, constants } from 'node:http2'
import { connect } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import { figure } from '../_lib/figure.ts'
import { type PluginProcess, startWellPlugin } from '../_lib/plugin/process.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { privateMb } from '../bench/usage.ts'
import { ATTACKS } from '../limits/attacks.ts'

const STREAMS = 20_000
const LARGE_HEADERS = 2_000
/** Without limits the first took 130 MiB, and the second 120. */
const MAX_GROWTH_MIB = 60
/** Without limits they took 213 to 352; most of this is garbage not yet collected. */
const MAX_GROWTH_OF_MANY_MIB = 130
const HALF_A_MESSAGE = Buffer.from([0, 0, 0, 1, 0, 1, 2])
const test = suite('e2e/neighbour', () => ({}))

const HEADERS = {
  ':method': 'POST',
  ':path': '/v2.KeyManagementService/Encrypt',
  'content-type': 'application/grpc',
  te: 'trailers',
}

/** Opens streams and leaves them; ends with the connection. */
async function neighbour(socketPath: string, count: number, more: Record<string, string>) {
  const session = connectHttp2('http://localhost', { createConnection: () => connect(socketPath) })
  // Refused streams, and a connection that is cut, are what it deserves.
  session.on('error', () => undefined)
  for (let opened = 0; opened < count && !session.destroyed; opened += 1) {
    const stream = session.request({ ...HEADERS, ...more }, { endStream: false })
    stream.on('error', () => undefined)
    stream.write(HALF_A_MESSAGE)
    if (opened % 100 === 0) await setImmediate()
  }
  return {
    [Symbol.dispose]() {
      session.destroy(undefined, constants.NGHTTP2_CANCEL)
    },
  }
}

async function startLocal(folder: TempFolder): Promise<PluginProcess> {
  const keyFile = folder.at('keys')
  await createKeyFile(keyFile, Date.now)
  const config = { providers: [{ name: 'keys', type: 'local', keyFile }] }
  return await startWellPlugin({ folder: folder.path, config })
}

async function goodRequests(plugin: PluginProcess, count: number): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    const uid = `good-${n}`
    const made = await plugin.client.v2.encrypt({ plaintext: new Uint8Array(32).fill(7), uid })
    const { plaintext } = await plugin.client.v2.decrypt({ ...made, uid })
    assert.is(plaintext.length, 32)
  }
}

for (const [what, count, more] of [
  ['opens streams and leaves half a message on each', STREAMS, {}],
  ['sends headers of 60 kB', LARGE_HEADERS, { 'x-large': 'a'.repeat(60_000) }],
] as const) {
  test(`a neighbour that ${what} fills no memory, and another client is served`, async () => {
    await using folder = await tempFolder()
    await using plugin = await startLocal(folder)
    await goodRequests(plugin, 50)
    const before = privateMb(plugin.pid)

    using _there = await neighbour(plugin.socketPath, count, more)
    await goodRequests(plugin, 50)
    const growth = privateMb(plugin.pid) - before

    figure(`a neighbour that ${what}, ${count} times: ${growth.toFixed(0)} MiB more`)
    assert.ok(growth < MAX_GROWTH_MIB, `${growth} MiB`)
  })
}

for (const what of [
  '10,000 streams with half a message of 80 kB',
  '7,000 streams with a header of 60 kB',
  '25,000 streams left over 100 connections',
  '20,000 answers for which there is no window',
]) {
  test(`neighbours with ${what} fill no memory, and another client is served`, async () => {
    await using folder = await tempFolder()
    await using plugin = await startLocal(folder)
    await goodRequests(plugin, 50)
    const before = privateMb(plugin.pid)
    const attack = ATTACKS[what]
    assert.ok(attack)

    const attacking = attack({ path: plugin.socketPath, goesOn: () => true })
    await goodRequests(plugin, 50)
    await attacking
    await goodRequests(plugin, 50)
    const growth = privateMb(plugin.pid) - before

    figure(`neighbours with ${what}: ${growth.toFixed(0)} MiB more`)
    assert.ok(growth < MAX_GROWTH_OF_MANY_MIB, `${growth} MiB`)
  })
}

test.run()
