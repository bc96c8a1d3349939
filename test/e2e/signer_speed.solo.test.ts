/**
 * How fast tokens are signed, with one caller and with many, against the same key service asked
 * directly and against a key in a file. All in one run, since only the ratios mean something.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { Pool } from 'undici'
import * as assert from 'uvu/assert'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import { signingKeys } from '../../src/services/local/signing_key.ts'
import { figure } from '../_lib/figure.ts'
import { connectSigner } from '../_lib/grpc/signer_client.ts'
import { startWellPlugin } from '../_lib/plugin/process.ts'
import { startOpenBao, type Transit } from '../_lib/services/vault/openbao.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const CALLERS = [1, 64] as const
/** About as much as the claims of a pod's token. */
const CLAIMS = Buffer.from('c'.repeat(900)).toString('base64url')
const WARM = 100

type Sign = (index: number) => Promise<unknown>

interface Cell {
  readonly perSecond: number
  readonly p99Ms: number
}

const test = suite('e2e/signer_speed', () => ({}))

async function measured(sign: Sign, callers: number): Promise<Cell> {
  const count = callers === 1 ? 300 : 3_000
  const times: number[] = []
  let next = 0
  const lane = async () => {
    for (let index = next++; index < count; index = next++) {
      const start = performance.now()
      await sign(index)
      times.push(performance.now() - start)
    }
  }
  const start = performance.now()
  await Promise.all(Array.from({ length: callers }, lane))
  const perSecond = (count / (performance.now() - start)) * 1_000
  const sorted = times.toSorted((a, b) => a - b)
  return { perSecond, p99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? 0 }
}

async function rawTransit(address: string, transit: Transit): Promise<Sign & AsyncDisposable> {
  const pool = new Pool(address, { connections: 64 })
  const token = await transit.login()
  const sign: Sign = async (index) => {
    const input = createHash('sha256').update(`${CLAIMS}${index}`).digest('base64')
    const { statusCode, body } = await pool.request({
      method: 'POST',
      path: `/v1/${transit.mount}/sign/${transit.key}`,
      headers: { 'x-vault-token': token },
      body: JSON.stringify({ input, prehashed: true, marshaling_algorithm: 'jws' }),
    })
    await body.text()
    assert.is(statusCode, 200)
  }
  return Object.assign(sign, { [Symbol.asyncDispose]: () => pool.close() })
}

test('with one caller and with many: through the plugin, from a key file, and at the key service itself', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao()
  const options = { folder: folder.path, key: 'k8s-sa', keySettings: { type: 'ecdsa-p256' } }
  const transit = await bao.setupTransit({ ...options, signs: true })
  const now = () => Date.now()
  await createKeyFile(folder.at('keys'), now)
  await createKeyFile(folder.at('signer-keys'), now, signingKeys())
  const config = (key: object) => ({
    providers: [{ name: 'here', type: 'local', keyFile: folder.at('keys') }],
    stateDir: folder.at('state'),
    signer: { socket: { path: folder.at('signer.sock') }, key },
  })
  const keys = {
    'OpenBao through the plugin': { type: 'vault', allowInsecureHttp: true, ...transit.provider },
    'a key file through the plugin': { type: 'local', keyFile: folder.at('signer-keys') },
  }
  const cells = new Map<string, Cell>()
  const measure = async (what: string, sign: Sign) => {
    for (let index = 0; index < WARM; index += 1) await sign(index)
    for (const callers of CALLERS) cells.set(`${what} ${callers}`, await measured(sign, callers))
  }
  for (const [what, key] of Object.entries(keys)) {
    await using _plugin = await startWellPlugin({ folder: folder.path, config: config(key) })
    using client = connectSigner(folder.at('signer.sock'))
    await measure(what, (index) => client.sign(`${CLAIMS}${index}`))
  }
  await using raw = await rawTransit(bao.address, transit)
  await measure('OpenBao itself', raw)

  for (const [what, { perSecond, p99Ms }] of cells) {
    const base = cells.get(`OpenBao itself ${what.split(' ').at(-1)}`)?.perSecond ?? 1
    figure(
      `${what.replace(/ (\d+)$/, ', callers: $1')}: ${Math.round(perSecond)} tokens/s (${(perSecond / base).toFixed(2)} of OpenBao itself), p99 ${p99Ms.toFixed(1)} ms`,
    )
  }
  assert.is(cells.size, 6)
})

test.run()
