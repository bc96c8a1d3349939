/**
 * Ports for servers that must be given one and bind it a while later. They lie below those that the
 * system assigns by itself; otherwise a fake of another test could get the port meanwhile. A UDP
 * socket of the same number keeps it from other tests, also while its server is stopped, for as
 * long as the process lives.
 *
 * @module
 */

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'

const LOWEST = 12_000
/** Linux assigns ports from this one on. */
const ABOVE = 32_768

export async function freePort(): Promise<number> {
  const port = LOWEST + Math.floor(Math.random() * (ABOVE - LOWEST))
  return (await keep(port)) && (await isFree(port)) ? port : await freePort()
}

async function keep(port: number): Promise<boolean> {
  const socket = createSocket('udp4')
  socket.bind(port, '127.0.0.1')
  try {
    await once(socket, 'listening')
  } catch {
    return false
  }
  socket.unref()
  return true
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
