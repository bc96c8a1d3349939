/** Sends single commands to a TPM, and takes their answers apart (TPM 2.0 Library, part 1, section 18). @module */

import { Buffer } from 'node:buffer'
import { pause } from '../../base/attempts/pause.ts'
import type { Clock } from '../../base/clock.ts'
import type { Call } from '../../base/provider.ts'
import type { TpmChannel } from './channel.ts'
import { AGAIN, kindOf, TpmRefusal } from './response_code.ts'
import { Reader, sized, u8, u16, u32 } from './wire.ts'

const TAG = { plain: 0x8001, withSessions: 0x8002 } as const
const HEADER = 10
const MAX_SIZED = 4_096
const MAX_TURNS = 8
const FIRST_PAUSE_MS = 10
/** The session is not to be ended with the command. */
const CONTINUE = 0x01

/** Commands by the names that the standard gives them. */
const CODES = {
  Create: 0x153,
  CreatePrimary: 0x131,
  FlushContext: 0x165,
  GetCapability: 0x17a,
  Load: 0x157,
  LoadExternal: 0x167,
  PCR_Read: 0x17e,
  PolicyAuthorize: 0x16a,
  PolicyPCR: 0x17f,
  ReadPublic: 0x173,
  Sign: 0x15d,
  StartAuthSession: 0x176,
  VerifySignature: 0x177,
} as const
type CommandName = keyof typeof CODES

/** An empty password, which is good where none was set. */
export const NO_PASSWORD = 0x40000009

export interface Command {
  readonly name: CommandName
  readonly handles?: readonly number[]
  /** The session that authorises the first handle. */
  readonly session?: number
  readonly parameters?: readonly Uint8Array[]
  /** Whether the answer begins with a handle. */
  readonly answersHandle?: boolean
}

interface Answer {
  /** 0 where none was asked for. */
  readonly handle: number
  /** Whoever reads the parameters must reach their end. */
  readonly parameters: Reader
}

interface CommandDeps {
  readonly channel: TpmChannel
  readonly clock: Clock
  readonly call: Call
}

/**
 * @throws TpmRefusal where the TPM refuses it, also after repetitions; other KmsErrors where the TPM
 * is gone or says what is no answer
 */
export async function execute(command: Command, deps: CommandDeps): Promise<Answer> {
  const { channel, clock, call } = deps
  const bytes = encode(command)
  for (let turn = 1; ; turn += 1) {
    call.signal.throwIfAborted()
    const answer = await channel.exchange(bytes)
    const responseCode = responseCodeOf(answer, command)
    if (responseCode === 0) return decode(answer, command)
    if (!AGAIN.has(kindOf(responseCode)) || turn === MAX_TURNS) {
      throw new TpmRefusal(command.name, responseCode)
    }
    await pause(clock, FIRST_PAUSE_MS * 2 ** (turn - 1), call.signal)
  }
}

function encode({ name, handles = [], session, parameters = [] }: Command): Buffer {
  const tag = session === undefined ? TAG.plain : TAG.withSessions
  const body = Buffer.concat([...handles.map(u32), ...sessionArea(session), ...parameters])
  return Buffer.concat([u16(tag), u32(HEADER + body.length), u32(CODES[name]), body])
}

/** Neither kind of session has a secret here, so nonce and HMAC are empty. */
function sessionArea(session: number | undefined): Uint8Array[] {
  if (session === undefined) return []
  const area = Buffer.concat([u32(session), sized(), u8(CONTINUE), sized()])
  return [u32(area.length), area]
}

function responseCodeOf(answer: Buffer, { name }: Command): number {
  const { tag, responseCode, body } = taken(answer, name)
  if (responseCode === 0) return 0
  // A refusal is a header alone.
  body.end()
  body.expect(tag, TAG.plain, 'tag')
  return responseCode
}

function decode(answer: Buffer, { name, session, answersHandle = false }: Command): Answer {
  const { tag, body } = taken(answer, name)
  body.expect(tag, session === undefined ? TAG.plain : TAG.withSessions, 'tag')
  const handle = answersHandle ? body.u32() : 0
  if (session === undefined) return { handle, parameters: body }
  const parameters = body.bytes(body.u32())
  body.sized(MAX_SIZED)
  body.u8()
  body.expect(body.sized(MAX_SIZED).length, 0, 'HMAC')
  body.end()
  return { handle, parameters: new Reader(parameters, nameOf(name)) }
}

function taken(answer: Buffer, name: CommandName) {
  const body = new Reader(answer, nameOf(name))
  const tag = body.u16()
  body.expect(body.u32(), answer.length, 'size')
  return { tag, responseCode: body.u32(), body }
}

function nameOf(name: CommandName): string {
  return `Answer of the TPM to ${name}`
}
