/**
 * The structures of TPM 2.0 that a login key is made of: public areas, names, selections of PCRs
 * (TPM 2.0 Library, part 2).
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { createHash, createPublicKey, type KeyObject } from 'node:crypto'
import { KmsError } from '../../base/errors.ts'
import { Reader, sized, u8, u16, u32 } from './wire.ts'

export const ALG = {
  aes: 0x0006,
  sha256: 0x000b,
  none: 0x0010,
  ecdsa: 0x0018,
  ecc: 0x0023,
  cfb: 0x0043,
} as const
const P256 = 0x0003
const COORDINATE = 32

/** Bits of TPMA_OBJECT. */
const BIT = {
  fixedTpm: 1 << 1,
  fixedParent: 1 << 4,
  sensitiveDataOrigin: 1 << 5,
  userWithAuth: 1 << 6,
  noDa: 1 << 10,
  restricted: 1 << 16,
  decrypt: 1 << 17,
  sign: 1 << 18,
} as const

const STORAGE =
  BIT.fixedTpm |
  BIT.fixedParent |
  BIT.sensitiveDataOrigin |
  BIT.userWithAuth |
  BIT.noDa |
  BIT.restricted |
  BIT.decrypt

/**
 * It signs under its policy alone, since a password (`userWithAuth`) may not be used, and a lockout
 * by wrong passwords of others does not concern it (`noDa`).
 */
const LOGIN = BIT.fixedTpm | BIT.fixedParent | BIT.sensitiveDataOrigin | BIT.noDa | BIT.sign

/** As tpm2-tools load a public key, so that both come to the same name. */
const POLICY_KEY = BIT.userWithAuth | BIT.decrypt | BIT.sign

interface EccArea {
  readonly attributes: number
  readonly policy: Uint8Array
  /** Symmetric algorithm and scheme. */
  readonly algorithms: readonly Uint8Array[]
  readonly x: Uint8Array
  readonly y: Uint8Array
}

function eccArea({ attributes, policy, algorithms, x, y }: EccArea): Buffer {
  return Buffer.concat([
    ...[u16(ALG.ecc), u16(ALG.sha256), u32(attributes), sized(policy)],
    ...[...algorithms, u16(P256), u16(ALG.none), sized(x), sized(y)],
  ])
}

const NOTHING = Buffer.alloc(0)
const NO_SYMMETRIC = u16(ALG.none)
const ES256 = Buffer.concat([u16(ALG.ecdsa), u16(ALG.sha256)])

/** The storage root key as systemd and tpm2-tools make it: any program gets the same one of a TPM. */
export const STORAGE_ROOT: Buffer = eccArea({
  attributes: STORAGE,
  policy: NOTHING,
  algorithms: [u16(ALG.aes), u16(128), u16(ALG.cfb), u16(ALG.none)],
  x: NOTHING,
  y: NOTHING,
})

/** A P-256 key that the TPM is to make, and that is good for ES256 alone. */
export function loginKeyTemplate(policy: Uint8Array): Buffer {
  return loginArea(policy, NOTHING, NOTHING)
}

function loginArea(policy: Uint8Array, x: Uint8Array, y: Uint8Array): Buffer {
  return eccArea({ attributes: LOGIN, policy, algorithms: [NO_SYMMETRIC, ES256], x, y })
}

/** The public half of an offline key as the TPM is to load it. */
export function policyKeyArea(key: KeyObject): Buffer {
  const { x, y } = pointOf(key)
  const algorithms = [NO_SYMMETRIC, u16(ALG.none)]
  return eccArea({ attributes: POLICY_KEY, policy: NOTHING, algorithms, x, y })
}

function pointOf(key: KeyObject): { x: Buffer; y: Buffer } {
  const { asymmetricKeyType, asymmetricKeyDetails } = key
  if (asymmetricKeyType !== 'ec' || asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw new KmsError('The policy key is of another kind than ECDSA with P-256', {
      code: 'request_invalid',
    })
  }
  const { x = '', y = '' } = key.export({ format: 'jwk' })
  return { x: Buffer.from(x, 'base64url'), y: Buffer.from(y, 'base64url') }
}

interface LoginArea {
  readonly policy: Buffer
  readonly publicKey: KeyObject
}

/**
 * Takes the public area of a login key apart.
 *
 * @throws KmsError where it is anything but what {@link loginKeyTemplate} asks for
 */
export function readLoginArea(area: Uint8Array, of: string): LoginArea {
  const reader = new Reader(area, of)
  reader.bytes(8)
  const policy = reader.sized(COORDINATE)
  reader.bytes(2 + ES256.length + 4)
  const [x, y] = [reader.sized(COORDINATE), reader.sized(COORDINATE)]
  reader.end()
  if (!loginArea(policy, x, y).equals(area)) throw reader.wrong('has a key of another kind')
  const [wideX, wideY] = [wide(x, reader), wide(y, reader)].map((each) =>
    each.toString('base64url'),
  )
  const jwk = { kty: 'EC', crv: 'P-256', x: wideX ?? '', y: wideY ?? '' }
  try {
    return { policy, publicKey: createPublicKey({ key: jwk, format: 'jwk' }) }
  } catch (cause) {
    throw reader.wrong('has a point that is not on the curve', cause)
  }
}

/** A TPM may leave zeros away at the beginning. */
export function wide(number: Uint8Array, reader: Reader): Buffer {
  if (number.length > COORDINATE || number.length === 0) throw reader.wrong('has a bad number')
  return Buffer.concat([Buffer.alloc(COORDINATE - number.length), number])
}

/** The name of an object: its algorithm, and the digest of its public area. */
export function nameOf(area: Uint8Array): Buffer {
  return Buffer.concat([u16(ALG.sha256), sha256(area)])
}

export function sha256(...parts: readonly Uint8Array[]): Buffer {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

/** PCRs by their numbers, in ascending order. */
export type PcrValues = ReadonlyMap<number, Buffer>

export const PCR_COUNT = 24
const SELECT_BYTES = PCR_COUNT / 8

/** A list with one selection, of the bank sha256. */
export function selectionOf(pcrs: Iterable<number>): Buffer {
  const bits = Buffer.alloc(SELECT_BYTES)
  for (const pcr of pcrs) {
    const at = pcr >> 3
    bits.writeUInt8(bits.readUInt8(at) | (1 << (pcr & 7)), at)
  }
  return Buffer.concat([u32(1), u16(ALG.sha256), u8(SELECT_BYTES), bits])
}

/** The PCRs of a selection of the bank sha256; other banks are not understood. */
export function readSelection(reader: Reader): number[] {
  const lists = reader.u32()
  if (lists > 1) throw reader.wrong('has PCRs of banks that were not asked for')
  if (lists === 0) return []
  reader.expect(reader.u16(), ALG.sha256, 'bank')
  const bits = reader.bytes(reader.u8())
  return Array.from({ length: bits.length * 8 }, (_, pcr) => pcr).filter(
    (pcr) => ((bits[pcr >> 3] ?? 0) & (1 << (pcr & 7))) !== 0,
  )
}
