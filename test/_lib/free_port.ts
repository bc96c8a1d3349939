/**
 * Ports for servers that must be given one and bind it a while later. They lie below those that the
 * system assigns by itself; otherwise a fake of another test could get the port meanwhile.
 *
 * @module
 */

import { once } from 'node:events'
import { createServer } from 'node:net'

const LOWEST = 12_000
/** Linux assigns ports from this one on. */
const ABOVE = 32_768
/** Servers that start side by side must not get the same one. */
const given = new Set<number>()

export async function freePort(): Promise<number> {
  const port = LOWEST + Math.floor(Math.random() * (ABOVE - LOWEST))
  if (given.has(port) || !(await isFree(port))) return await freePort()
  given.add(port)
  return port
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
  } catch {
    return false
  }
  server.close()
  await once(server, 'close')
  return true
}
