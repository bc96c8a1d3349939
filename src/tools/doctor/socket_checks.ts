/** Checks the socket and what answers on it. @module */

import { randomBytes, randomUUID } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { KmsError, systemReasonOf } from '../../base/errors.ts'
import { keyIdHash } from '../../base/key_id_hash.ts'
import { SEED_BYTES } from '../../base/limits.ts'
import { printable } from '../../console/output.ts'
import { connectKms, RpcError } from '../../grpc/client.ts'
import { reach } from '../../grpc/reach.ts'
import { type Finding, found, ok } from './finding.ts'

const LIMIT_MS = 3_000
const OTHERS_MAY_CONNECT = 0o002

interface SocketResult {
  readonly findings: readonly Finding[]
  /** The key id that Status answered. */
  readonly keyId: string | undefined
}

export async function socketFindings(path: string): Promise<SocketResult> {
  const missing = await folderFindings(path)
  if (missing.length > 0) return { findings: missing, keyId: undefined }
  try {
    await reach(path, LIMIT_MS)
  } catch (error) {
    const what = error instanceof KmsError ? error.message : String(error)
    const finding: Finding = {
      id: 'socket-dead',
      level: 'error',
      what,
      why: 'kube-apiserver cannot read a Secret without it once it restarts.',
      todo: 'Start the plugin; its log says why it does not run.',
    }
    return { findings: [finding], keyId: undefined }
  }
  const open = await openFindings(path)
  const { findings, keyId } = await answerFindings(path)
  return { findings: [...open, ...findings], keyId }
}

/** Whether the folder of a socket is there. */
export async function folderFindings(path: string): Promise<Finding[]> {
  try {
    await stat(dirname(path))
    return []
  } catch (cause) {
    return [
      {
        id: 'socket-folder-missing',
        level: 'error',
        what: `${dirname(path)} cannot be looked at: ${systemReasonOf(cause)}`,
        why: 'A pod that mounts it does not start, and /run is empty after every boot.',
        todo: `Let systemd-tmpfiles make it: "trousseau manifests tmpfiles" prints the file for /etc/tmpfiles.d.`,
      },
    ]
  }
}

/** The mode of a socket to which every user of the node may connect; undefined for any other. */
export async function openMode(path: string): Promise<string | undefined> {
  const { mode } = await stat(path)
  const folder = await stat(dirname(path))
  const others = (mode & OTHERS_MAY_CONNECT) !== 0 && (folder.mode & 0o001) !== 0
  return others ? (mode & 0o777).toString(8).padStart(4, '0') : undefined
}

async function openFindings(path: string): Promise<Finding[]> {
  const mode = await openMode(path)
  return found(mode !== undefined, {
    id: 'socket-open',
    level: 'warning',
    what: `${path} has mode ${mode}: every user of this node may have keys decrypted`,
    why: 'Whoever copies a value out of etcd can open it here.',
    todo: 'Set socket.mode "0600" and run the plugin as the user of the API server, or "0660" with a socket.group that both are in.',
  })
}

async function answerFindings(path: string): Promise<SocketResult> {
  const client = connectKms(path, { timeoutMs: LIMIT_MS })
  try {
    const { healthz, keyId } = await client.v2.status()
    if (healthz !== 'ok')
      throw new KmsError(`healthz is ${printable(healthz)}`, { code: 'unavailable' })
    const seed = randomBytes(SEED_BYTES)
    const made = await client.v2.encrypt({ plaintext: seed, uid: randomUUID() })
    const { plaintext } = await client.v2.decrypt({ ...made, uid: randomUUID() })
    if (!seed.equals(plaintext)) {
      throw new KmsError('Decrypt gives back something else than was encrypted', {
        code: 'internal',
      })
    }
    const known = `${path} answers; key id ${printable(keyId)} (${keyIdHash(keyId)}). Only this node was asked: compare it with "trousseau status" on the others`
    return { findings: [ok('plugin', known)], keyId }
  } catch (error) {
    const what =
      error instanceof RpcError ? `${error.status}: ${printable(error.message)}` : String(error)
    const finding: Finding = {
      id: 'plugin-unwell',
      level: 'error',
      what: `The plugin at ${path} does not work: ${what}`,
      why: 'API servers stop writing after three minutes, and cannot start.',
      todo: 'docs/operations.md has what each of these means.',
    }
    return { findings: [finding], keyId: undefined }
  } finally {
    client.close()
  }
}
