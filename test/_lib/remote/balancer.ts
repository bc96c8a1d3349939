/**
 * A TCP load balancer: new connections go where `target` says, and stay there whatever happens to
 * it, as with every balancer below HTTP and every name that changes its address.
 *
 * @module
 */

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface Balancer extends AsyncDisposable {
  /** `http://127.0.0.1:port`. */
  readonly address: string
  /** `http://host:port` that new connections go to. */
  target: string
  /** Connections that were made so far. */
  readonly made: number
  /** From now on, open connections pass nothing on, and neither end notices. */
  swallow(): void
}

export async function startBalancer(target: string): Promise<Balancer> {
  const pairs = new Map<Socket, Socket>()
  let made = 0
  const server = createServer((socket) => {
    made += 1
    const { hostname, port } = new URL(balancer.target)
    const onward = connect(Number(port), hostname)
    pairs.set(socket, onward)
    for (const [one, other] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      one.on('error', () => other.destroy())
      one.on('close', () => {
        other.destroy()
        pairs.delete(socket)
      })
      one.pipe(other)
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const balancer: Balancer = {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    target,
    get made() {
      return made
    },
    swallow() {
      for (const [socket, onward] of pairs) {
        socket.unpipe(onward)
        onward.unpipe(socket)
      }
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      for (const pair of pairs) for (const socket of pair) socket.destroy()
      await closed
    },
  }
  return balancer
}
