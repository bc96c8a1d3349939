/** Memory does not grow with the objects: nothing but a page of them is held. */

import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile, rm, stat } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { encodeEnvelope, inputsOf, sealHeader } from '../../../src/kms/envelope.ts'
import { keyIdOf } from '../../../src/kms/key_id.ts'
import { RECOVERY_ANNOTATION } from '../../../src/kms/recovery.ts'
import { createRecoverySealer } from '../../../src/recovery/annotation.ts'
import { generateRecoveryKey } from '../../../src/recovery/jwk.ts'
import { writeKeyPair } from '../../../src/recovery/key_file.ts'
import { figure } from '../../_lib/figure.ts'
import { bundleCommand } from '../../_lib/plugin/process.ts'
import { type TempFolder, tempFolder } from '../../_lib/temp_folder.ts'
import { startFakeEtcd } from '../../_lib/tools/fake_etcd.ts'
import { secretBytes, v2Value } from '../../_lib/tools/stored_objects.ts'
import { suite } from '../../_lib/uvu.ts'

const FEW = 1_500
const MANY = 6_000
const SECRET_BYTES = 40_000
/** Of what the objects more hold. What is there without them grows a little too. */
const MOST_GROWTH = 0.4
const TRIES = 3

const test = suite('tools/recover/memory', () => ({}))

/** The same object under any key of etcd, as one API server with one seed stores it. */
async function valueFor(folder: TempFolder): Promise<(etcdKey: string) => Promise<Uint8Array>> {
  const pair = await generateRecoveryKey('P-256')
  await writeKeyPair(folder.at('key'), pair, undefined)
  const sealer = await createRecoverySealer([pair.publicJwk])
  const members = [{ providerId: 'local:gone', version: '1', createdAt: 1 }]
  const inputs = inputsOf({ scheme: 'any', k: 1 }, members, sealer.thumbprints)
  const header = sealHeader(inputs, randomBytes)
  const seed = randomBytes(32)
  const ciphertext = encodeEnvelope(header, [{ member: 0, data: randomBytes(60) }])
  const annotations = { [RECOVERY_ANNOTATION]: await sealer.seal(seed, header.digest) }
  const plaintext = secretBytes({ name: 'x', namespace: 'shop' }, [
    ['data', randomBytes(SECRET_BYTES)],
  ])
  const keyId = keyIdOf(inputs)
  return (etcdKey) => v2Value({ etcdKey, plaintext, seed, ciphertext, keyId, annotations })
}

interface Peak {
  readonly bytes: number
  readonly ms: number
}

async function peakOf(folder: TempFolder, args: readonly string[]): Promise<Peak> {
  const [command, all] = bundleCommand({ folder: folder.path }, ['recover', ...args])
  const start = performance.now()
  const child = spawn(command, all, { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  let bytes = 0
  const look = setInterval(async () => {
    const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '')
    bytes = Math.max(bytes, Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024)
  }, 20)
  const [code] = await once(child, 'close')
  clearInterval(look)
  assert.is(code, 0, said)
  return { bytes, ms: performance.now() - start }
}

async function peakWith(folder: TempFolder, objects: Objects, command: Command): Promise<Peak> {
  await using etcd = await startFakeEtcd(objects)
  const out = folder.at('out')
  await rm(out, { force: true })
  const flags = command === 'export' ? ['--out', out] : []
  const key = ['--recovery-key', folder.at('key')]
  const peak = await peakOf(folder, [command, '--endpoints', etcd.endpoint, ...key, ...flags])
  if (command === 'export') assert.ok((await stat(out)).size > objects.size * SECRET_BYTES)
  return peak
}

type Objects = ReadonlyMap<string, Uint8Array>
type Command = 'verify' | 'export'

function grows(few: Peak, many: Peak): boolean {
  return many.bytes - few.bytes >= MOST_GROWTH * (MANY - FEW) * SECRET_BYTES
}

function textOf({ bytes, ms }: Peak): string {
  return `${Math.round(bytes / 2 ** 20)} MiB in ${Math.round(ms)} ms`
}

test('verify and export hold no more of many objects than of few', async () => {
  await using folder = await tempFolder()
  const make = await valueFor(folder)
  const objects = new Map<string, Uint8Array>()
  for (let at = 0; at < MANY; at += 1) {
    const key = `/registry/secrets/shop/secret-${at}`
    objects.set(key, await make(key))
  }
  const fewer = new Map([...objects].slice(0, FEW))
  for (const command of ['verify', 'export'] as const) {
    const few = await peakWith(folder, fewer, command)
    let many = await peakWith(folder, objects, command)
    // Garbage that V8 has not collected yet is no growth, and is not there every time.
    for (let again = 1; again < TRIES && grows(few, many); again += 1) {
      many = await peakWith(folder, objects, command)
    }
    const text = [few, many].map(textOf).join(', ')
    figure(`recover ${command} of ${FEW} and ${MANY} Secrets: ${text}`)
    assert.ok(few.bytes > 0 && !grows(few, many), text)
  }
})

test.run()
