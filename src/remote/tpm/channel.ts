/**
 * The way to a TPM: a device with a resource manager (`/dev/tpmrm0`), to which each command is one
 * write, or a unix socket with the same bytes.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { constants, type FileHandle, open } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { KmsError, systemCodeOf, systemReasonOf } from '../../base/errors.ts'
import { unixPathOf } from '../../base/socket_path.ts'

export interface TpmChannel {
  /** Sends one command, and gives the whole answer to it. */
  exchange(command: Uint8Array): Promise<Buffer>
  close(): Promise<void>
}

/** No TPM answers with more. */
const MAX_ANSWER = 4_096
const HEADER = 10
/** Far longer than any command here takes; a device has such a limit in its driver. */
const SILENCE_MS = 30_000

const NOT_LET_IN =
  'the user of the plugin must be in the group of the device (often tss), and a unit with PrivateDevices or a pod must be given it'
/** What to do about the codes of the system that are likely. */
const HINTS: Readonly<Record<string, string>> = {
  EACCES: NOT_LET_IN,
  EPERM: NOT_LET_IN,
  EBUSY: 'use the device with the resource manager, /dev/tpmrm0',
  ENOENT: 'is there a TPM 2.0, switched on in the firmware, and its driver?',
}

/** @throws KmsError `unavailable` that says what is wrong with the device */
export async function openChannel(device: string): Promise<TpmChannel> {
  const socketPath = unixPathOf(device)
  try {
    return socketPath === undefined
      ? new DeviceChannel(device, await open(device, constants.O_RDWR | constants.O_NOCTTY))
      : new SocketChannel(device, await connected(socketPath))
  } catch (cause) {
    throw failed(device, 'cannot be opened', cause)
  }
}

class DeviceChannel implements TpmChannel {
  readonly #device: string
  readonly #file: FileHandle

  constructor(device: string, file: FileHandle) {
    this.#device = device
    this.#file = file
  }

  async exchange(command: Uint8Array): Promise<Buffer> {
    try {
      const { bytesWritten } = await this.#file.write(command, 0, command.length, null)
      if (bytesWritten !== command.length) throw cut(this.#device, 'took a part of a command')
      return await this.#answer()
    } catch (cause) {
      throw failed(this.#device, 'failed', cause)
    }
  }

  /** The kernel gives it at once; what is given in parts is put together. */
  async #answer(): Promise<Buffer> {
    let answer = Buffer.alloc(0)
    while (!isWhole(answer)) {
      const part = Buffer.alloc(MAX_ANSWER)
      const { bytesRead } = await this.#file.read(part, 0, part.length, null)
      if (bytesRead === 0) throw cut(this.#device, 'gave no whole answer')
      answer = Buffer.concat([answer, part.subarray(0, bytesRead)])
    }
    return answer
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}

class SocketChannel implements TpmChannel {
  readonly #device: string
  readonly #socket: Socket

  constructor(device: string, socket: Socket) {
    this.#device = device
    this.#socket = socket
    // Whoever waits for an answer hears of it; in between nobody does.
    socket.on('error', () => undefined)
  }

  async exchange(command: Uint8Array): Promise<Buffer> {
    try {
      return await this.#answerTo(command)
    } catch (cause) {
      throw failed(this.#device, 'failed', cause)
    }
  }

  close(): Promise<void> {
    this.#socket.destroy()
    return Promise.resolve()
  }

  #answerTo(command: Uint8Array): Promise<Buffer> {
    const socket = this.#socket
    return new Promise((resolve, reject) => {
      let answer = Buffer.alloc(0)
      const done = (settle: () => void) => {
        socket.off('data', take).off('error', fail).off('close', closed).off('timeout', silent)
        socket.setTimeout(0)
        settle()
      }
      const fail = (error: Error) => done(() => reject(error))
      const closed = () => fail(cut(this.#device, 'closed the connection'))
      const silent = () => {
        fail(cut(this.#device, `gave no answer within ${SILENCE_MS / 1_000} s`))
        socket.destroy()
      }
      const take = (chunk: Buffer) => {
        answer = Buffer.concat([answer, chunk])
        if (isWhole(answer)) done(() => resolve(answer))
      }
      if (socket.destroyed) {
        reject(cut(this.#device, 'closed the connection'))
        return
      }
      socket.on('data', take).on('error', fail).on('close', closed).on('timeout', silent)
      socket.setTimeout(SILENCE_MS)
      socket.write(command)
    })
  }
}

/** As long as its header says, or longer than any may be; whether it is right is seen later. */
function isWhole(answer: Buffer): boolean {
  return answer.length >= HEADER && answer.length >= Math.min(answer.readUInt32BE(2), MAX_ANSWER)
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path })
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
  })
}

function cut(device: string, what: string): KmsError {
  return new KmsError(`TPM "${device}" ${what}`, { code: 'unavailable' })
}

function failed(device: string, what: string, cause: unknown): KmsError {
  if (cause instanceof KmsError) return cause
  const hint = HINTS[systemCodeOf(cause) ?? '']
  const why = systemReasonOf(cause)
  return new KmsError(`TPM "${device}" ${what}: ${why}${hint === undefined ? '' : ` (${hint})`}`, {
    code: 'unavailable',
    cause,
  })
}
