/** The client of a KMS plugin in Go. @module */

import * as v from 'valibot'
import { buildGoProgram, reportOf } from './program.ts'

const PROGRAM = 'go_client'

const report = v.object({
  ok: v.boolean(),
  error: v.optional(v.string()),
  version: v.string(),
  healthz: v.string(),
  keyId: v.string(),
  ciphertextBytes: v.number(),
  annotations: v.number(),
  /** What Decrypt says to a key id of another make. */
  foreignKeyIdCode: v.string(),
  v1Version: v.string(),
  v1Runtime: v.string(),
  v1CiphertextBytes: v.number(),
  /** What v1beta1 Decrypt says to a changed ciphertext. */
  v1TamperedCode: v.string(),
})
type GoReport = v.InferOutput<typeof report>

/** `localhost` as API servers since 1.32 say, `default` as grpc-go says by itself. */
export type Authority = 'localhost' | 'default'

/** Status, Encrypt and Decrypt of v2, and Version, Encrypt and Decrypt of v1beta1. */
export async function runGoClient(socketPath: string, authority: Authority): Promise<GoReport> {
  const args = ['-socket', socketPath, '-authority', authority]
  return v.parse(report, await reportOf(PROGRAM, args))
}

/** Resolves to the path of the program. */
export function buildGoClient(): Promise<string> {
  return buildGoProgram(PROGRAM)
}
