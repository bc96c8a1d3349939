/**
 * What the plugin does while its code for the binary is made: a start with a key file, and then a
 * config that adds Vault, which is the fake of the tests. The same functions have to run in the same
 * order on any machine. So there is one thing at a time, each begins when the one before it is
 * over, and what the plugin looks at each second it looks at in between.
 *
 * @module
 */

import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { connectKms } from '../../src/grpc/client.ts'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import { replaceFile } from '../../test/_lib/replace_file.ts'
import { startFakeVault } from '../../test/_lib/services/vault/fake.ts'
import type { WarmUp } from './warm_cache.ts'

/** Also for a program under an emulator. */
const LIMIT_MS = 120_000
const LOOKS_MS = 3_000
/** Longer than the plugin waits for an answer alone. */
const LATE_MS = 2_000

export const warmUpPlugin: WarmUp = async (start) => {
  const folder = await mkdtemp(join(tmpdir(), 'trousseau-warm-up-'))
  await using vault = await startFakeVault()
  try {
    const { roleIdFile, secretIdFile } = await vault.setupApprole(folder)
    const keyFile = join(folder, 'keys')
    await createKeyFile(keyFile, Date.now)
    const socket = join(folder, 'kms.sock')
    const head = `apiVersion: trousseau.io/v1
kind: TrousseauConfig
socket:
  path: ${socket}
requestTimeout: 60s   # an emulator is slow
health: { interval: 5m, staleAfter: 15m }
providers:
  - name: local
    type: local
    keyFile: ${keyFile}
`
    const withVault = `    decryptOnly: true
  - name: vault
    type: vault
    address: ${vault.addresses[0]}
    allowInsecureHttp: true
    mount: transit
    key: k8s-etcd
    auth: { method: approle, roleIdFile: ${roleIdFile}, secretIdFile: ${secretIdFile} }
`
    const config = join(folder, 'config.yaml')
    await replaceFile(config, head)
    const child = start(['serve', '--config', config])
    const ended = once(child, 'close')
    try {
      await says(child, '"state":"ok"')
      await useOnce(socket)
      await setTimeout(LOOKS_MS)
      const reloaded = says(child, '"config_reloaded"')
      await replaceFile(config, `${head}${withVault}`)
      await reloaded
      await useOnce(socket)
      // A busy machine is as late at any answer.
      const late = vault.node(0).fault({ kind: 'slow', ms: LATE_MS }, { count: 1 })
      await useOnce(socket)
      await setTimeout(LOOKS_MS)
      if (late.hits !== 1) throw new Error('Wanted a request to Vault while it was late')
    } finally {
      child.kill('SIGTERM')
      await ended
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Settles as soon as the log, from now on, has the words. */
function says(child: ChildProcess, words: string): Promise<void> {
  let log = ''
  return new Promise((resolve, reject) => {
    child.stderr?.on('data', (text: string) => {
      log += text
      if (log.includes(words)) resolve()
    })
    child.on('close', () => reject(new Error(`Program ended before it said ${words}:\n${log}`)))
    child.on('error', reject)
  })
}

/** One connection each time, as an API server that has just started makes it. */
async function useOnce(socket: string): Promise<void> {
  const client = connectKms(socket, { timeoutMs: LIMIT_MS })
  try {
    const { keyId } = await client.v2.status()
    const plaintext = new Uint8Array(32)
    const { ciphertext, annotations } = await client.v2.encrypt({ plaintext, uid: 'warm-up' })
    await client.v2.decrypt({ ciphertext, annotations, keyId, uid: 'warm-up' })
  } finally {
    client.close()
  }
}
