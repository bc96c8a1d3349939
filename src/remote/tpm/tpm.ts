/**
 * The commands of a TPM 2.0 that a login key needs, each with its arguments and its answer checked
 * (TPM 2.0 Library, part 3).
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import type { Clock } from '../../base/clock.ts'
import type { Call } from '../../base/provider.ts'
import type { TpmChannel } from './channel.ts'
import { type Command, execute, NO_PASSWORD } from './command.ts'
import { creation, flushing, MAX_AREA, signatureOf, skipCreation } from './parameters.ts'
import { RC, TpmRefusal } from './response_code.ts'
import { ALG, nameOf, readSelection, selectionOf, wide } from './structures.ts'
import { sized, u8, u16, u32 } from './wire.ts'

const OWNER = 0x40000001
const NO_HIERARCHY = 0x40000007
const POLICY_SESSION = 0x01
const NONCE = 32
const DIGEST = 32
const MAX_PRIVATE = 1_024
const TAG_NO_TICKET = 0x8024
const TAG_VERIFIED = 0x8022
const CAPABILITY_PROPERTIES = 6

/** Where the storage root key is kept, if anybody put it there. */
export const PERSISTENT_ROOT = 0x81000001

export interface KeyBlobs {
  readonly publicArea: Buffer
  /** Encrypted by the TPM, and of no use without it. */
  readonly privateArea: Buffer
}

export class Tpm {
  readonly #deps: { readonly channel: TpmChannel; readonly clock: Clock; readonly call: Call }
  /** A TPM has room for three keys. */
  readonly #open = new Set<number>()

  constructor(channel: TpmChannel, clock: Clock, call: Call) {
    this.#deps = { channel, clock, call }
  }

  /** @returns the name of an object; undefined where there is none at the handle */
  async readName(handle: number): Promise<Buffer | undefined> {
    try {
      const { parameters } = await execute({ name: 'ReadPublic', handles: [handle] }, this.#deps)
      const area = parameters.sized(MAX_AREA)
      const name = parameters.sized(MAX_AREA)
      parameters.sized(MAX_AREA)
      parameters.end()
      if (!nameOf(area).equals(name)) throw parameters.wrong('has another name than its key')
      return name
    } catch (error) {
      if (error instanceof TpmRefusal && error.kind === RC.handle) return undefined
      throw error
    }
  }

  /** Makes the key of the owner hierarchy that belongs to the template: always the same one. */
  async createPrimary(template: Uint8Array): Promise<{ handle: number; name: Buffer }> {
    const { handle, parameters } = await execute(
      {
        name: 'CreatePrimary',
        handles: [OWNER],
        session: NO_PASSWORD,
        parameters: creation(template),
        answersHandle: true,
      },
      this.#deps,
    )
    this.#open.add(handle)
    const area = parameters.sized(MAX_AREA)
    skipCreation(parameters)
    const name = parameters.sized(MAX_AREA)
    parameters.end()
    if (!nameOf(area).equals(name)) throw parameters.wrong('has another name than its key')
    return { handle, name }
  }

  async create(parent: number, template: Uint8Array): Promise<KeyBlobs> {
    const parameters = creation(template)
    const command = { name: 'Create', handles: [parent], session: NO_PASSWORD, parameters } as const
    const { parameters: made } = await execute(command, this.#deps)
    const privateArea = made.sized(MAX_PRIVATE)
    const publicArea = made.sized(MAX_AREA)
    skipCreation(made)
    made.end()
    return { publicArea, privateArea }
  }

  async load(parent: number, { publicArea, privateArea }: KeyBlobs): Promise<number> {
    const parameters = [sized(privateArea), sized(publicArea)]
    return await this.#loaded(
      { name: 'Load', handles: [parent], session: NO_PASSWORD, parameters, answersHandle: true },
      publicArea,
    )
  }

  /** Of the owner hierarchy, since the TPM vouches for nothing that it verified outside of one. */
  async loadPublic(area: Uint8Array): Promise<number> {
    const parameters = [sized(), sized(area), u32(OWNER)]
    return await this.#loaded({ name: 'LoadExternal', parameters, answersHandle: true }, area)
  }

  async #loaded(command: Command, area: Uint8Array): Promise<number> {
    const { handle, parameters } = await execute(command, this.#deps)
    this.#open.add(handle)
    const name = parameters.sized(MAX_AREA)
    parameters.end()
    if (!nameOf(area).equals(name)) throw parameters.wrong('has another name than its key')
    return handle
  }

  async startPolicySession(): Promise<number> {
    const { handle, parameters } = await execute(
      {
        name: 'StartAuthSession',
        handles: [NO_HIERARCHY, NO_HIERARCHY],
        parameters: [
          ...[sized(randomBytes(NONCE)), sized()],
          ...[u8(POLICY_SESSION), u16(ALG.none), u16(ALG.sha256)],
        ],
        answersHandle: true,
      },
      this.#deps,
    )
    this.#open.add(handle)
    parameters.sized(MAX_AREA)
    parameters.end()
    return handle
  }

  /** The PCRs as they are at this moment become part of the session's policy. */
  async policyPcr(session: number, pcrs: Iterable<number>): Promise<void> {
    const parameters = [sized(), selectionOf(pcrs)]
    await this.#without({ name: 'PolicyPCR', handles: [session], parameters })
  }

  /**
   * Replaces the session's policy by that of the key which approved of it.
   *
   * @param ticket what the TPM itself said of the signature
   */
  async policyAuthorize(
    session: number,
    approved: {
      readonly policy: Uint8Array
      readonly reference: Uint8Array
      readonly keyName: Uint8Array
      readonly ticket: Uint8Array
    },
  ): Promise<void> {
    const { policy, reference, keyName, ticket } = approved
    const parameters = [sized(policy), sized(reference), sized(keyName), ticket]
    await this.#without({ name: 'PolicyAuthorize', handles: [session], parameters })
  }

  /** @returns a ticket with which the TPM knows that it verified the signature */
  async verifySignature(key: number, digest: Uint8Array, signature: Uint8Array): Promise<Buffer> {
    const { parameters } = await execute(
      {
        name: 'VerifySignature',
        handles: [key],
        parameters: [sized(digest), signatureOf(signature)],
      },
      this.#deps,
    )
    parameters.expect(parameters.u16(), TAG_VERIFIED, 'ticket')
    parameters.expect(parameters.u32(), OWNER, 'hierarchy')
    const hmac = parameters.sized(MAX_AREA)
    parameters.end()
    return Buffer.concat([u16(TAG_VERIFIED), u32(OWNER), sized(hmac)])
  }

  /** @returns r and s, 32 bytes each */
  async sign(key: number, digest: Uint8Array, session: number): Promise<Buffer> {
    const noTicket = [u16(TAG_NO_TICKET), u32(NO_HIERARCHY), sized()]
    const parameters = [sized(digest), u16(ALG.none), ...noTicket]
    const command = { name: 'Sign', handles: [key], session, parameters } as const
    const { parameters: signed } = await execute(command, this.#deps)
    signed.expect(signed.u16(), ALG.ecdsa, 'scheme')
    signed.expect(signed.u16(), ALG.sha256, 'hash')
    const [r, s] = [signed.sized(DIGEST), signed.sized(DIGEST)]
    signed.end()
    return Buffer.concat([wide(r, signed), wide(s, signed)])
  }

  /** Those PCRs of the bank sha256 that the TPM has, in ascending order. */
  async readPcrs(wanted: readonly number[]): Promise<Map<number, Buffer>> {
    const found = new Map<number, Buffer>()
    let left = [...wanted]
    // An answer has room for a few.
    while (left.length > 0) {
      const some = await this.#readSomePcrs(left)
      if (some.length === 0) break
      for (const [pcr, value] of some) found.set(pcr, value)
      left = left.filter((pcr) => !found.has(pcr))
    }
    return new Map([...found].toSorted(([one], [other]) => one - other))
  }

  async #readSomePcrs(wanted: readonly number[]): Promise<(readonly [number, Buffer])[]> {
    const parameters = [selectionOf(wanted)]
    const { parameters: read } = await execute({ name: 'PCR_Read', parameters }, this.#deps)
    read.u32()
    const pcrs = readSelection(read)
    read.expect(read.u32(), pcrs.length, 'number of PCRs')
    const values = pcrs.map((pcr) => {
      if (!wanted.includes(pcr)) throw read.wrong('has a PCR that was not asked for')
      const value = read.sized(DIGEST)
      read.expect(value.length, DIGEST, 'size of a PCR')
      return [pcr, value] as const
    })
    read.end()
    return values
  }

  /** One of the fixed or variable properties; undefined where the TPM does not have it. */
  async property(property: number): Promise<number | undefined> {
    const parameters = [u32(CAPABILITY_PROPERTIES), u32(property), u32(1)]
    const { parameters: read } = await execute({ name: 'GetCapability', parameters }, this.#deps)
    read.u8()
    read.expect(read.u32(), CAPABILITY_PROPERTIES, 'capability')
    const count = read.u32()
    if (count > 1) throw read.wrong('has more properties than were asked for')
    const [found, value] = count === 0 ? [0, 0] : [read.u32(), read.u32()]
    read.end()
    return found === property ? value : undefined
  }

  async flush(handle: number): Promise<void> {
    this.#open.delete(handle)
    await this.#without(flushing(handle))
  }

  /** Clears away what is left, also after a failure: behind a socket nobody else does. */
  async clearAway(): Promise<void> {
    const call = { signal: new AbortController().signal, deadline: Number.POSITIVE_INFINITY }
    for (const handle of this.#open) {
      await this.#without(flushing(handle), { ...this.#deps, call }).catch(() => undefined)
    }
  }

  async #without(command: Command, deps = this.#deps): Promise<void> {
    const { parameters } = await execute(command, deps)
    parameters.end()
  }
}
