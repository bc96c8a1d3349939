/**
 * A TPM of which an input says what it answers: in place of its device, the sources open a file
 * that plays answers. All above it is the real thing.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { promises } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

/** An answer, and the code of the command that it is for. */
export interface TpmAnswer {
  readonly command: number
  readonly answer: Uint8Array
}

export const DEVICE = '/dev/played-tpm'
/** Nothing that is asked once takes so many commands. */
const MOST_COMMANDS = 400
/** "It is in failure mode", for what no answer is there for. */
const FAILURE = Buffer.from('80010000000a00000101', 'hex')
const COMMAND_AT = 6
const PART = 64

const { open } = promises

export class PlayedTpm implements Disposable {
  #answers: TpmAnswer[] = []
  #commands = 0

  constructor() {
    const handle = () => this.#handle()
    Object.assign(promises, {
      open: (...args: Parameters<typeof open>) =>
        args[0] === DEVICE ? Promise.resolve(handle()) : open(...args),
    })
    syncBuiltinESMExports()
  }

  play(answers: readonly TpmAnswer[]): void {
    this.#answers = [...answers]
    this.#commands = 0
  }

  /** Throws where the program asked without an end. */
  check(): void {
    if (this.#commands > MOST_COMMANDS) throw new TypeError(`Sent ${this.#commands} commands`)
  }

  [Symbol.dispose](): void {
    Object.assign(promises, { open })
    syncBuiltinESMExports()
  }

  /** As far as the way to a device uses one; a long answer comes in parts. */
  #handle() {
    let rest: Uint8Array = new Uint8Array()
    return {
      write: (command: Buffer) => {
        rest = this.#answerTo(command.readUInt32BE(COMMAND_AT))
        return Promise.resolve({ bytesWritten: command.length })
      },
      read: (into: Buffer) => {
        const part = rest.subarray(0, PART)
        rest = rest.subarray(PART)
        into.set(part)
        return Promise.resolve({ bytesRead: part.length })
      },
      close: () => Promise.resolve(),
    }
  }

  /** The first that was not given; the last of them again and again. */
  #answerTo(command: number): Uint8Array {
    this.#commands += 1
    if (this.#commands > MOST_COMMANDS) return FAILURE
    const fitting = this.#answers.filter((each) => each.command === command)
    const [first] = fitting
    if (first === undefined) return FAILURE
    if (fitting.length > 1) this.#answers.splice(this.#answers.indexOf(first), 1)
    return first.answer
  }
}
