/**
 * `trousseau demo` shows the plugin's main job with a local key in a folder of its own, over the
 * real socket, and then serves until it is told to stop.
 *
 * @module
 */

import { randomBytes, randomUUID, timingSafeEqual } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { stopped } from '../base/call.ts'
import { systemClock } from '../base/clock.ts'
import { KmsError } from '../base/errors.ts'
import { SEED_BYTES } from '../base/limits.ts'
import { makeFolder } from '../base/make_folder.ts'
import { parseConfig } from '../config/load.ts'
import type { Io } from '../console/io.ts'
import { counted } from '../console/progress.ts'
import { connectKms } from '../grpc/client.ts'
import { createLogger } from '../observe/log.ts'
import { startPlugin } from '../plugin/plugin.ts'
import { VERSION } from '../plugin/version.ts'
import { createKeyFile, readKeyFile } from '../services/local/key_file.ts'

const TIMEOUT_MS = 3_000

export async function demo(options: { readonly dir?: string }, io: Io): Promise<number> {
  const folder =
    options.dir === undefined
      ? await mkdtemp(join(tmpdir(), 'trousseau-demo-'))
      : await ownFolder(options.dir)
  const log = createLogger({
    level: 'warn',
    format: 'text',
    output: { write: (line) => io.err(line) },
    monotonic: systemClock.monotonic,
  })
  try {
    const keyFile = join(folder, 'keys')
    const made = await keyFileIn(keyFile)
    const config = parseConfig(demoConfig(folder, keyFile), 'demo')
    const plugin = await startPlugin(config, log)
    const [socketPath = ''] = plugin.socketPaths
    try {
      io.out(`Trousseau ${VERSION}\n\n  key file  ${keyFile} (${made})\n`)
      io.out(`  socket    ${socketPath}\n\n`)
      await plugin.asked
      await showRoundTrip(socketPath, io)
      io.out(`\n${snippet(socketPath)}\n`)
      io.out(options.dir === undefined ? TEMPORARY : `The key stays in ${folder}.\n`)
      io.out('Serving until Ctrl-C.\n')
      await stopped(io.stop)
    } finally {
      await plugin.close()
    }
    io.out('Stopped.\n')
    return 0
  } finally {
    if (options.dir === undefined) await rm(folder, { recursive: true, force: true })
  }
}

const TEMPORARY = `This key is gone when the demo ends: encrypt nothing with it that you want to keep.
To keep one, name a folder: trousseau demo --dir DIR
`

async function ownFolder(dir: string): Promise<string> {
  const folder = resolve(dir)
  await makeFolder(folder, 0o700)
  return folder
}

/** Makes the key where there is none. A file that cannot be read is never replaced. */
async function keyFileIn(path: string): Promise<string> {
  try {
    await createKeyFile(path, () => Date.now())
    return 'new, mode 0600'
  } catch (error) {
    if (!(error instanceof KmsError) || error.code !== 'request_invalid') throw error
    const { keys } = await readKeyFile(path)
    return `found, ${counted(keys.keys.length, 'version')}`
  }
}

function demoConfig(folder: string, keyFile: string): unknown {
  return {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: join(folder, 'kms.sock') },
    providers: [{ name: 'here', type: 'local', keyFile }],
  }
}

async function showRoundTrip(socketPath: string, io: Io): Promise<void> {
  const client = connectKms(socketPath, { timeoutMs: TIMEOUT_MS })
  try {
    const seed = randomBytes(SEED_BYTES)
    const status = await timed(() => client.v2.status())
    io.out(row('Status', `${status.value.healthz}, key id ${status.value.keyId}`, status.ms))
    const made = await timed(() => client.v2.encrypt({ plaintext: seed, uid: randomUUID() }))
    const { ciphertext, keyId, annotations } = made.value
    io.out(row('Encrypt', `${seed.length} bytes into ${ciphertext.length} bytes`, made.ms))
    const opened = await timed(() =>
      client.v2.decrypt({ ciphertext, keyId, annotations, uid: randomUUID() }),
    )
    const { plaintext } = opened.value
    if (plaintext.length !== seed.length || !timingSafeEqual(plaintext, seed)) {
      throw new KmsError('Decrypt gave back other bytes', { code: 'internal' })
    }
    io.out(
      row('Decrypt', `${ciphertext.length} bytes back into the same ${seed.length}`, opened.ms),
    )
  } finally {
    client.close()
  }
}

async function timed<T>(work: () => Promise<T>): Promise<{ value: T; ms: number }> {
  const start = performance.now()
  const value = await work()
  return { value, ms: performance.now() - start }
}

function row(operation: string, result: string, ms: number): string {
  return `  ${operation.padEnd(8)}  ${result}  (${ms.toFixed(1)} ms)\n`
}

function snippet(socketPath: string): string {
  return `To have kube-apiserver use a socket like this one, give it --encryption-provider-config with

  apiVersion: apiserver.config.k8s.io/v1
  kind: EncryptionConfiguration
  resources:
    - resources: [secrets]
      providers:
        - kms:
            apiVersion: v2            # without it, kube-apiserver takes v1
            name: trousseau           # never change it: it is stored with every Secret
            endpoint: unix://${socketPath}
            timeout: 3s
        - identity: {}                # remove it once every Secret is rewritten
`
}
