/**
 * Gets the wraps of a key service out of what another plugin stored. Each function returns
 * undefined for bytes that its plugin cannot have stored.
 *
 * @module
 */

import { decodeBase64 } from '../base/base64.ts'
import type { DecryptRequest } from '../base/service.ts'
import { azureVersion } from './azure.ts'

/** One wrap of one key service. */
export interface ForeignPart {
  /** The type of provider that opens it; empty where none can, and then there are no bytes. */
  readonly type: string
  /** The name that Trousseau 2 gave the provider of this line. */
  readonly provider?: string
  /**
   * What the ciphertext or its key id says of the version; empty where neither names one, or none
   * is needed.
   */
  readonly version: string
  readonly bytes: Uint8Array
  /** What the plugin wrapped was the base64url text of the API server's plaintext. */
  readonly textInside?: true
}

type Parts = readonly ForeignPart[] | undefined

/** A nonce and a tag around one byte at least. */
const MIN_SEALED_BYTES = 29

/** `vault:v3:` and base64, as the transit engine writes it. */
export function transitParts({ ciphertext }: DecryptRequest): Parts {
  return listed(transitPart(ciphertext))
}

/**
 * Lines that consist of a provider's name, `:-:` and what that provider made; there is one for each
 * provider that was enabled. Which type a line is depends on its reader, so all types that it can
 * be are named.
 */
export function trousseau2Parts({ ciphertext }: DecryptRequest): Parts {
  if (ciphertext.at(-1) !== NEWLINE) return undefined
  const parts: ForeignPart[] = []
  const names = new Set<string>()
  for (let at = 0; at < ciphertext.length; ) {
    const end = ciphertext.indexOf(NEWLINE, at)
    const line = lineOf(ciphertext.subarray(at, end))
    if (line === undefined || names.has(line.name) || names.size === MAX_LINES) return undefined
    names.add(line.name)
    parts.push(...line.parts)
    at = end + 1
  }
  return parts
}

/** `1` and the service's bytes; in the plugin's first weeks, under v1beta1, the bytes alone. */
export function storageVersionParts({ api, ciphertext }: DecryptRequest): Parts {
  const [first] = ciphertext
  if (first === STORAGE_VERSION && ciphertext.length > 1) {
    return [{ type: 'awskms', version: '', bytes: ciphertext.subarray(1) }]
  }
  if (api !== 'v1beta1' || first !== AWS_FORMAT) return undefined
  return [{ type: 'awskms', version: '', bytes: ciphertext }]
}

/**
 * The base64url text that Key Vault answered; with the SDK of later builds (which
 * OpenShift ships) its bytes, around a base64url text of the plaintext.
 */
export function azureParts({ api, ciphertext, keyId }: DecryptRequest): Parts {
  const version = azureVersion(api, keyId)
  const decoded = decodeBase64(ciphertext, 'url')
  if (decoded !== undefined && isRsa(decoded)) {
    return [{ type: 'azurekms', version, bytes: decoded }]
  }
  if (!isRsa(ciphertext)) return undefined
  return [{ type: 'azurekms', version, bytes: ciphertext, textInside: true }]
}

/**
 * The service's bytes and nothing around them. The service finds the version in them, and a v2 key
 * id ends with it.
 */
export function rawParts({ ciphertext, keyId = '' }: DecryptRequest): Parts {
  if (ciphertext.length < MIN_SEALED_BYTES || ciphertext.every(isPrintable)) return undefined
  const version = /\/cryptoKeyVersions\/(\d{1,9})(?::|$)/.exec(keyId)?.[1] ?? ''
  return [{ type: 'gcpkms', version, bytes: ciphertext }]
}

const NEWLINE = 0x0a
const COLON = 0x3a
const STORAGE_VERSION = 0x31
/** The first byte of what AWS KMS makes. */
const AWS_FORMAT = 0x01
/** Trousseau 2 allowed two; its first alphas set no limit. */
const MAX_LINES = 8
const MAX_NAME_BYTES = 64
const SEPARATOR = ascii(':-:')
const TRANSIT = ascii('vault:v')
const VERSION_DIGITS = 9

function transitPart(text: Uint8Array): ForeignPart | undefined {
  if (!startsWith(text, TRANSIT)) return undefined
  const colon = text.indexOf(COLON, TRANSIT.length)
  const version = textOf(text.subarray(TRANSIT.length, Math.max(colon, 0)), VERSION_DIGITS)
  if (version === undefined || !/^[1-9]\d*$/.test(version)) return undefined
  const bytes = decodeBase64(text.subarray(colon + 1), 'standard')
  if (bytes === undefined || bytes.length < MIN_SEALED_BYTES) return undefined
  return { type: 'vault', version, bytes }
}

function lineOf(line: Uint8Array) {
  const colon = Math.max(line.indexOf(COLON), 0)
  const name = textOf(line.subarray(0, colon), MAX_NAME_BYTES)
  if (name === undefined || !/^[\w.-]+$/.test(name)) return undefined
  const rest = line.subarray(colon)
  if (!startsWith(rest, SEPARATOR)) return undefined
  const value = rest.subarray(SEPARATOR.length)
  // This provider encrypted nothing: the line is the plaintext, which must go to no key service.
  if (name === 'debug') return { name, parts: [] }
  const kinds = value.length === 0 ? [LOST] : kindsOf(value).filter(isOf(name))
  if (kinds.length === 0) return undefined
  return { name, parts: kinds.map((part): ForeignPart => ({ ...part, provider: name })) }
}

/**
 * Trousseau 2 named its own providers after their type; any other name was chosen by an operator.
 */
function isOf(name: string): (part: ForeignPart) => boolean {
  return ({ type }) => type === name || !['vault', 'awskms', 'azurekms'].includes(name)
}

function kindsOf(value: Uint8Array): ForeignPart[] {
  const bytes = decodeBase64(value, 'standard')
  const transit = transitPart(value) ?? (bytes === undefined ? undefined : transitPart(bytes))
  if (transit !== undefined) return [transit]
  const kinds: ForeignPart[] = []
  if (bytes !== undefined) kinds.push({ type: 'awskms', version: '', bytes })
  const modulus = decodeBase64(value, 'url')
  if (modulus !== undefined && isRsa(modulus)) {
    kinds.push({ type: 'azurekms', version: azureVersion('v1beta1', undefined), bytes: modulus })
  }
  return kinds
}

/** Stored when a static token no longer worked: there is no wrap inside. */
const LOST: ForeignPart = { type: '', version: '', bytes: new Uint8Array() }

/** The lengths that keys of 2048, 3072 and 4096 bits make. */
function isRsa(bytes: Uint8Array): boolean {
  return bytes.length === 256 || bytes.length === 384 || bytes.length === 512
}

function listed(part: ForeignPart | undefined): Parts {
  return part === undefined ? undefined : [part]
}

function isPrintable(byte: number): boolean {
  return (byte >= 0x20 && byte < 0x7f) || byte === NEWLINE
}

function startsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  return bytes.length >= start.length && start.every((byte, at) => bytes[at] === byte)
}

function textOf(bytes: Uint8Array, maxBytes: number): string | undefined {
  return bytes.length > maxBytes ? undefined : String.fromCharCode(...bytes)
}

function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0))
}
