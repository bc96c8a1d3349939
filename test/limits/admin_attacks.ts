/** What a hostile neighbour may do at the admin server. @module */

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Scene } from './attacks.ts'
import { SEEN } from './connection.ts'

const PAGE = 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'
const AGAIN_MS = 100

interface Habits {
  readonly everyMs?: number
  readonly reads?: boolean
}

/** So many connections at once, each opened anew where it was closed. */
function kept(connections: number, bytesOf: () => string, habits: Habits = {}) {
  return async (scene: Scene) => {
    const one = async () => {
      while (scene.goesOn()) await keptOnce(scene, bytesOf, habits)
    }
    await Promise.all(Array.from({ length: connections }, one))
  }
}

async function keptOnce(
  { path, goesOn }: Scene,
  bytesOf: () => string,
  { everyMs = AGAIN_MS, reads = true }: Habits,
): Promise<void> {
  const socket = await opened(path)
  if (socket === undefined) return await sleep(AGAIN_MS)
  if (reads) {
    socket.on('data', () => {
      SEEN.answers += 1
    })
  }
  do {
    const bytes = bytesOf()
    if (bytes !== '') socket.write(bytes)
    await sleep(everyMs)
  } while (goesOn() && !socket.destroyed)
  socket.destroy()
}

async function opened(path: string): Promise<Socket | undefined> {
  const socket = connect(path)
  socket.on('close', () => {
    SEEN.closed += 1
  })
  try {
    await once(socket, 'connect')
  } catch {
    SEEN.refused += 1
    return undefined
  }
  socket.on('error', () => undefined)
  SEEN.connected += 1
  return socket
}

export const ADMIN_ATTACKS: Readonly<Record<string, (scene: Scene) => Promise<void>>> = {
  'admin: 1,000 connections that say nothing': kept(1_000, () => ''),
  'admin: 1,000 connections, a byte now and then': kept(1_000, () => 'G'),
  'admin: 1,000 connections with headers of 8 kB': kept(
    1_000,
    () => `GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(8_000)}`,
  ),
  'admin: 1,000 connections with headers of 60 kB': kept(
    1_000,
    () => `GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(60_000)}\r\n\r\n`,
  ),
  'admin: 1,000 connections that read no answer': kept(1_000, () => PAGE.repeat(100), {
    reads: false,
    everyMs: 1_000,
  }),
  'admin: pages over 100 connections without end': kept(100, () => PAGE.repeat(10)),
}
