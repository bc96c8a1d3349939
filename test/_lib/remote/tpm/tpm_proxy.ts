/**
 * Stands before a real TPM and passes everything on, but where a test has it say what that TPM does
 * not say by itself: that it is busy, or nonsense.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

export interface TpmProxy extends AsyncDisposable {
  readonly device: string
  /** The codes of all commands so far. */
  readonly commands: number[]
  /** What is answered in place of the TPM; undefined to ask it. */
  answer: ((code: number, count: number) => Buffer | undefined) | undefined
  /** What becomes of the TPM's answer. */
  change: ((code: number, answer: Buffer) => Buffer) | undefined
}

export async function startTpmProxy(socketPath: string, target: string): Promise<TpmProxy> {
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const tpm = connect({ path: target })
    for (const socket of [client, tpm]) {
      sockets.add(socket)
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
    }
    client.on('close', () => tpm.destroy())
    tpm.on('close', () => client.destroy())
    let code = 0
    whole(client, (command) => {
      code = command.readUInt32BE(6)
      proxy.commands.push(code)
      const own = proxy.answer?.(code, proxy.commands.length)
      if (own === undefined) tpm.write(command)
      else client.write(own)
    })
    whole(tpm, (answer) => client.write(proxy.change?.(code, answer) ?? answer))
  })
  server.listen(socketPath)
  await once(server, 'listening')
  const proxy: TpmProxy = {
    device: `unix://${socketPath}`,
    commands: [],
    answer: undefined,
    change: undefined,
    async [Symbol.asyncDispose]() {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
  return proxy
}

/** An answer that is a response code alone. */
export function refusal(responseCode: number): Buffer {
  const bytes = Buffer.alloc(10)
  bytes.writeUInt16BE(0x8001)
  bytes.writeUInt32BE(bytes.length, 2)
  bytes.writeUInt32BE(responseCode, 6)
  return bytes
}

/** Calls with each message, as long as its header says. */
function whole(socket: Socket, take: (message: Buffer) => void): void {
  let pending = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk])
    while (pending.length >= 10 && pending.length >= pending.readUInt32BE(2)) {
      const size = pending.readUInt32BE(2)
      const message = pending.subarray(0, size)
      pending = pending.subarray(size)
      take(message)
    }
  })
}
