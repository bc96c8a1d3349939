/**
 * Gives the admin server its address. A unix socket is open to its owner alone; a
 * stale one is replaced, a live one or anything else never.
 *
 * @module
 */

import { once } from 'node:events'
import { lstat, unlink } from 'node:fs/promises'
import type { Server } from 'node:http'
import process from 'node:process'
import { KmsError, systemCodeOf, systemReasonOf } from '../base/errors.ts'
import { socketAnswers } from '../base/socket_answers.ts'

export type AdminAddress =
  | { readonly path: string }
  | { readonly host: string; readonly port: number }

/** The keys of the config that have a server answer, and what messages call it. */
export const ADMIN_NAMES = { admin: 'Admin server', probes: 'Server for probes' } as const
export type AdminKind = keyof typeof ADMIN_NAMES

const WHY: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process listens there',
  EADDRNOTAVAIL: 'this node does not have that address',
  ENOTFOUND: 'the name cannot be resolved: there is no such host',
  EAI_AGAIN: 'the name cannot be resolved: no name server answers',
  EACCES: 'not allowed: a port below 1024, or a folder of somebody else',
  ENOENT: 'its folder is not there',
}
/** Leaves 0600 of a socket's mode. */
const UMASK = 0o177

/**
 * Resolves to `127.0.0.1:8787`, or to the path of the socket.
 *
 * @throws KmsError when the address cannot be had
 */
export async function listen(server: Server, at: AdminAddress, of: AdminKind): Promise<string> {
  try {
    if ('path' in at) await bindSocket(server, at.path, of)
    else {
      server.listen(at.port, at.host)
      await once(server, 'listening')
    }
  } catch (cause) {
    if (cause instanceof KmsError) throw cause
    throw unusable(at, of, WHY[systemCodeOf(cause) ?? ''] ?? systemReasonOf(cause), cause)
  }
  const bound = server.address()
  if (bound === null || typeof bound === 'string') return String(bound)
  return bound.family === 'IPv6'
    ? `[${bound.address}]:${bound.port}`
    : `${bound.address}:${bound.port}`
}

async function bindSocket(server: Server, path: string, of: AdminKind): Promise<void> {
  const found = await lstat(path).catch(() => undefined)
  if (found?.isSocket() === true) {
    if (await socketAnswers(path)) throw unusable({ path }, of, 'another process answers there')
    await unlink(path)
  } else if (found !== undefined)
    throw unusable({ path }, of, 'something that is no socket stands there')
  const listening = once(server, 'listening')
  // Both runtimes bind before they return, so the mode is right from the start.
  const umask = process.umask(UMASK)
  try {
    server.listen(path)
  } finally {
    process.umask(umask)
  }
  await listening
}

function unusable(at: AdminAddress, of: AdminKind, why: string, cause?: unknown): KmsError {
  const where = 'path' in at ? at.path : `${at.host}:${at.port}`
  return new KmsError(
    `${ADMIN_NAMES[of]} cannot listen on ${where} (${why}): choose another ${of}.listen, or fix that`,
    { code: 'unavailable', cause },
  )
}
