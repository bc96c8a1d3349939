/**
 * `trousseau login-key authorize`: signs, with an offline key, which values PCRs may have. It needs
 * no TPM, and runs where that key is.
 *
 * @module
 */

import type { Buffer } from 'node:buffer'
import { createPrivateKey, type KeyObject } from 'node:crypto'
import { resolve } from 'node:path'
import * as v from 'valibot'
import { KmsError, systemReasonOf } from '../../base/errors.ts'
import { readSmallFile } from '../../base/small_file.ts'
import type { Io } from '../../console/io.ts'
import { OutFile } from '../../console/out_file.ts'
import { EXIT, json } from '../../console/output.ts'
import { pcrValues, textOf } from '../../remote/tpm/files.ts'
import {
  isSignedBy,
  policyFileText,
  readPolicyFile,
  signPolicy,
} from '../../remote/tpm/policy_file.ts'
import { type PcrValues, policyKeyArea } from '../../remote/tpm/structures.ts'

/** Nothing secret, and the plugin may run as another user. */
const MODE = 0o644

export interface AuthorizeOptions {
  readonly file: string
  /** File of the offline key. */
  readonly key: string
  /** What "login-key state --json" printed on a node. */
  readonly state?: string
  /** Which PCRs of it. */
  readonly pcrs?: readonly number[]
  /** Values that are known otherwise, and win. */
  readonly pcr: ReadonlyMap<number, Buffer>
  /** A file whose policies stay good. */
  readonly keep?: string
  readonly json: boolean
}

/** @throws KmsError where a file cannot be used, or nothing is named to be signed */
export async function authorize(options: AuthorizeOptions, io: Io): Promise<number> {
  const key = await readPolicyKey(resolve(options.key))
  const pcrs = await wantedValues(options)
  const kept = options.keep === undefined ? [] : await keptPolicies(resolve(options.keep), key)
  const policies = [signPolicy(pcrs, key), ...kept.filter((each) => !isSame(each.pcrs, pcrs))]
  const path = resolve(options.file)
  await using made = await OutFile.make(path, io.stop, MODE)
  await made.write(policyFileText(policies))
  await made.keep()
  const named = [...pcrs.keys()].join(', ')
  io.out(
    options.json
      ? json({ file: path, pcrs: textOf(pcrs), policies: policies.length })
      : `Made ${path}: policies: ${policies.length}, the first of them of PCR ${named} as given\n`,
  )
  return EXIT.ok
}

const state = v.object({ pcrs: pcrValues })

async function wantedValues({ state: file, pcrs, pcr }: AuthorizeOptions): Promise<PcrValues> {
  if ((file === undefined) !== (pcrs === undefined)) {
    throw invalid(
      'Wanted --state and --pcrs together: the one has all values, the other says which count',
    )
  }
  const found = file === undefined ? new Map() : await readState(resolve(file))
  const missing = (pcrs ?? []).filter((each) => !found.has(each) && !pcr.has(each))
  if (missing.length > 0) throw invalid(`File "${file}" has no PCR ${missing.join(', ')}`)
  const values = new Map([...found].filter(([each]) => pcrs?.includes(each)))
  for (const [each, value] of pcr) values.set(each, value)
  if (values.size === 0) {
    throw invalid('Wanted PCRs: --state FILE with --pcrs, or --pcr NUMBER=VALUE for each')
  }
  return new Map([...values].toSorted(([one], [other]) => one - other))
}

async function readState(path: string): Promise<PcrValues> {
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), state), await read(path))
  if (parsed.success) return parsed.output.pcrs
  throw invalid(`File "${path}" is not what "trousseau login-key state --json" prints`)
}

async function keptPolicies(path: string, key: KeyObject) {
  const { policies } = await readPolicyFile(path)
  if (policies.every((each) => isSignedBy(each, key))) return policies
  throw invalid(`File "${path}" has policies that are not signed by this key`)
}

function isSame(one: PcrValues, other: PcrValues): boolean {
  return JSON.stringify(textOf(one)) === JSON.stringify(textOf(other))
}

async function readPolicyKey(path: string): Promise<KeyObject> {
  const text = await read(path)
  const key = privateKeyOf(text, path)
  policyKeyArea(key)
  return key
}

function privateKeyOf(text: string, path: string): KeyObject {
  try {
    return createPrivateKey(text)
  } catch (cause) {
    const what = text.includes('ENCRYPTED')
      ? 'is encrypted: hand it over in the clear, as in --key <(openssl pkey -in FILE)'
      : 'holds no private key: wanted PEM, of ECDSA with P-256'
    throw new KmsError(`Policy key "${path}" ${what}`, { code: 'request_invalid', cause })
  }
}

async function read(path: string): Promise<string> {
  return await readSmallFile(path).catch((cause: unknown) => {
    throw invalid(`File "${path}" cannot be read: ${systemReasonOf(cause)}`, cause)
  })
}

function invalid(message: string, cause?: unknown): KmsError {
  return new KmsError(message, { code: 'request_invalid', cause })
}
