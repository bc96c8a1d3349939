/**
 * Checks the files and folders that a config names: they exist, are closed to other users, and
 * still exist after a boot.
 *
 * @module
 */

import { readFile, stat } from 'node:fs/promises'
import { systemReasonOf } from '../../base/errors.ts'
import type { Paths } from '../../services/provider_descriptor.ts'
import { type Finding, found, ok } from './finding.ts'

const OTHERS = 0o007
const OTHERS_WRITE = 0o002
const GROUP_WRITES = 0o020
const VOLATILE = /^\/(?:tmp|run|dev\/shm|var\/run)\//
const GIVEN = /^\/(?:run\/credentials|var\/run\/secrets)\//

export async function pathFindings({ files, folders, sockets }: Paths): Promise<Finding[]> {
  const findings = await Promise.all([
    ...files.map(oneFile),
    ...folders.map(oneFolder),
    ...sockets.map(oneSocket),
  ])
  const all = findings.flat()
  if (all.length > 0 || findings.length === 0) return all
  const count = findings.length
  return [
    ok(
      'files',
      `${count} files, folders and sockets that the config names are there, and none is open to everybody`,
    ),
  ]
}

async function oneFile(path: string): Promise<Finding[]> {
  try {
    const found = await stat(path)
    if (found.isDirectory()) return [missing(path, 'is a folder, and a file is wanted')]
    const { mode } = found
    const open = (mode & OTHERS) !== 0 && !isPublic(await readFile(path, 'utf8'))
    const isOpen = open || (mode & GROUP_WRITES) !== 0
    return [...openFindings(path, mode, isOpen ? '0640, or 0600' : undefined), ...volatile(path)]
  } catch (cause) {
    return [unreadable(path, cause)]
  }
}

/**
 * Certificates of authorities are not secret, but whoever can add one can pretend to be the key
 * service.
 */
async function oneFolder(path: string): Promise<Finding[]> {
  try {
    const found = await stat(path)
    if (!found.isDirectory()) return [missing(path, 'is a file, and a folder is wanted')]
    const { mode } = found
    const open = (mode & (GROUP_WRITES | OTHERS_WRITE)) !== 0
    return [...openFindings(path, mode, open ? '0755' : undefined), ...volatile(path)]
  } catch (cause) {
    return [unreadable(path, cause)]
  }
}

/** The socket of an agent on this node, which the agent makes when it starts. */
async function oneSocket(path: string): Promise<Finding[]> {
  const why = await whyNoSocket(path)
  return found(why !== undefined, {
    id: 'agent-socket',
    level: 'error',
    what: `${path} ${why}`,
    why: 'The config names it, and nobody else can be asked there.',
    todo: 'Start the agent that listens there, or correct the path; in a pod, mount the folder of the socket.',
  })
}

async function whyNoSocket(path: string): Promise<string | undefined> {
  try {
    return (await stat(path)).isSocket() ? undefined : 'is no socket'
  } catch (error) {
    return `cannot be looked at: ${systemReasonOf(error)}`
  }
}

/** @param wanted the mode that it should have; undefined where the mode is good */
function openFindings(path: string, mode: number, wanted: string | undefined): Finding[] {
  return found(wanted !== undefined, {
    id: 'file-open',
    level: 'warning',
    what: `${path} has mode ${(mode & 0o777).toString(8).padStart(4, '0')}`,
    why: 'Everybody on this node may read or change it.',
    todo: `chmod ${path} to ${wanted}`,
  })
}

function volatile(path: string): Finding[] {
  return found(VOLATILE.test(path) && !GIVEN.test(path), {
    id: 'boot-volatile-file',
    level: 'warning',
    what: `${path} is gone after a boot`,
    why: 'The plugin then cannot log in, and the API server waits for it.',
    todo: 'Keep it below /etc or /var/lib, or let systemd give it (LoadCredentialEncrypted).',
  })
}

function unreadable(path: string, cause: unknown): Finding {
  return missing(path, `cannot be read: ${systemReasonOf(cause)}`)
}

function missing(path: string, why: string): Finding {
  return {
    id: 'file-missing',
    level: 'error',
    what: `${path} ${why}`,
    why: 'The config names it.',
    todo: 'Put it there, or correct the path. Run doctor as the user of the plugin, or as root.',
  }
}

/** Certificates, public keys and what a TPM encrypted may be read by everybody. */
function isPublic(text: string): boolean {
  return /BEGIN CERTIFICATE|"kty"|"trousseau-tpm-/.test(text) && !/PRIVATE KEY|"d":/.test(text)
}
