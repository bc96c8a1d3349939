/** Signatures of a release, as `openssl dgst -verify` and `cosign verify-blob` take them. @module */

import { Buffer } from 'node:buffer'
import { createPrivateKey, type KeyObject } from 'node:crypto'
import { p256 } from '@noble/curves/nist.js'

/**
 * ECDSA with SHA-256 and a nonce that key and bytes determine (RFC 6979), so that the same release
 * and key give the same signature. Node's own ECDSA cannot do that.
 *
 * @param pem an EC P-256 private key
 * @returns base64 of the signature's DER
 */
export function signature(bytes: Uint8Array, pem: string): string {
  // Some blockchains accept only signatures with a low s; openssl and cosign accept both.
  const der = p256.sign(bytes, secretOf(pem), { format: 'der', lowS: false })
  return Buffer.from(der).toString('base64')
}

function secretOf(pem: string): Uint8Array {
  const { kty, crv, d = '' } = parsed(pem)?.export({ format: 'jwk' }) ?? {}
  if (kty !== 'EC' || crv !== 'P-256') throw new Error('Wanted an EC P-256 private key in PEM')
  return Buffer.from(d, 'base64url')
}

function parsed(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem)
  } catch {
    // The parser's error may quote the key, so it is not passed on.
    return undefined
  }
}
