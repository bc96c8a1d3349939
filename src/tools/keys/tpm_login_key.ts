/** `trousseau login-key create --tpm` and `login-key state`: a login key in the node's TPM. @module */

import { createPublicKey, type KeyObject } from 'node:crypto'
import { resolve } from 'node:path'
import * as v from 'valibot'
import { withinLimit } from '../../base/call.ts'
import { systemClock } from '../../base/clock.ts'
import { KmsError, systemReasonOf } from '../../base/errors.ts'
import { readSmallFile } from '../../base/small_file.ts'
import type { Io } from '../../console/io.ts'
import { EXIT, json, paint, table } from '../../console/output.ts'
import { DEFAULT_DEVICE, tpmDevice } from '../../remote/tpm/config.ts'
import { textOf } from '../../remote/tpm/files.ts'
import { isUntouched, lookAtLoginKey, lookAtTpm, type TpmFacts } from '../../remote/tpm/look.ts'
import { makeTpmKey, type WantedPolicy } from '../../remote/tpm/make.ts'
import { policyKeyArea } from '../../remote/tpm/structures.ts'

const LIMIT_MS = 30_000

export interface TpmOptions {
  /** `/dev/tpmrm0` where absent. */
  readonly device?: string | undefined
  readonly pcrs?: readonly number[] | undefined
  /** File of the public half of the policy key. */
  readonly authorize?: string | undefined
}

/** @returns the text of the key's file, and its public half */
export async function newTpmKey(
  { device, pcrs, authorize }: TpmOptions,
  io: Io,
): Promise<{ text: string; publicKey: KeyObject }> {
  const wanted = await wantedPolicy(pcrs, authorize)
  const made = await withinLimit(systemClock, LIMIT_MS, (call) =>
    makeTpmKey(deviceOf(device), wanted, { clock: systemClock, call }),
  )
  if ('pcrs' in made.policy) {
    for (const [pcr, value] of made.policy.pcrs) {
      if (isUntouched(value)) {
        io.err(
          `trousseau: warning: nothing was measured into PCR ${pcr}, so that it protects nothing\n`,
        )
      }
    }
  }
  return made
}

function deviceOf(named: string = DEFAULT_DEVICE): string {
  const parsed = v.safeParse(tpmDevice, named)
  if (parsed.success) return parsed.output
  const [{ message }] = parsed.issues
  throw new KmsError(`--device ${named}: wanted ${message}`, { code: 'request_invalid' })
}

async function wantedPolicy(
  pcrs: readonly number[] | undefined,
  authorize: string | undefined,
): Promise<WantedPolicy> {
  if ((pcrs === undefined) === (authorize === undefined)) {
    throw new KmsError(
      'Wanted with --tpm either --pcrs, for a key that is good while these PCRs are as they are now, or --authorize, for one that is good while a signed policy holds',
      { code: 'request_invalid' },
    )
  }
  return authorize === undefined
    ? { pcrs: pcrs ?? [] }
    : { authority: await readPolicyPublicKey(resolve(authorize)) }
}

/** The private half has no business on a node. */
async function readPolicyPublicKey(path: string): Promise<KeyObject> {
  const text = await readSmallFile(path).catch((cause: unknown) => {
    throw unusable(path, `cannot be read: ${systemReasonOf(cause)}`, cause)
  })
  if (text.includes('PRIVATE KEY')) {
    throw unusable(
      path,
      'is a private key, which belongs offline: wanted its public half (openssl pkey -in FILE -pubout)',
    )
  }
  const key = publicKeyOf(text, path)
  policyKeyArea(key)
  return key
}

function publicKeyOf(text: string, path: string): KeyObject {
  try {
    return createPublicKey(text)
  } catch (cause) {
    throw unusable(path, 'holds no public key: wanted PEM', cause)
  }
}

function unusable(path: string, why: string, cause?: unknown): KmsError {
  return new KmsError(`Policy key "${path}" ${why}`, { code: 'request_invalid', cause })
}

interface TpmStateOptions {
  /** The key; where absent, the TPM alone. */
  readonly file?: string | undefined
  /** The file of signed policies. */
  readonly policy?: string
  readonly device?: string | undefined
  readonly json: boolean
}

/** @throws KmsError where the TPM is not there, or a file cannot be used */
export async function tpmState(options: TpmStateOptions, io: Io): Promise<number> {
  const { file, json: asJson } = options
  const device = deviceOf(options.device)
  if (file !== undefined) return await keyState({ ...options, file, device }, io)
  const facts = await withinLimit(systemClock, LIMIT_MS, (call) =>
    lookAtTpm(device, { clock: systemClock, call }),
  )
  io.out(asJson ? json(aboutTpm(facts)) : tpmLines(facts, io))
  return EXIT.ok
}

async function keyState(
  {
    file,
    policy,
    device,
    json: asJson,
  }: TpmStateOptions & { readonly file: string; readonly device: string },
  io: Io,
): Promise<number> {
  const keyFile = resolve(file)
  const policyFile = policy === undefined ? undefined : resolve(policy)
  const look = await withinLimit(systemClock, LIMIT_MS, (call) =>
    lookAtLoginKey({ device, keyFile, policyFile }, { clock: systemClock, call }),
  )
  const { facts, refusal, pcrs, changed, policies } = look
  const signs = refusal === undefined
  if (asJson) {
    const about = { key: keyFile, policies, dependsOn: pcrs, changed, signs }
    io.out(json({ ...aboutTpm(facts), ...about, refusal: refusal?.message }))
  } else {
    const verdict = signs
      ? paint(io, 'green', 'The login key signs now.')
      : paint(io, 'red', `The login key does not sign now. ${refusal.message}`)
    io.out(`${tpmLines(facts, io, { pcrs, changed })}\n${verdict}\n`)
  }
  return signs ? EXIT.ok : EXIT.unhealthy
}

function aboutTpm({ pcrs, ...facts }: TpmFacts) {
  return { tpm: facts, pcrs: textOf(pcrs) }
}

function tpmLines(
  { manufacturer, firmware, lockedOut, pcrs }: TpmFacts,
  io: Io,
  depends: { readonly pcrs: readonly number[]; readonly changed: readonly number[] } = {
    pcrs: [],
    changed: [],
  },
): string {
  const locked = lockedOut ? ', locked out for passwords (a login key has none)' : ''
  const rows = [...pcrs].map(([pcr, value]) => {
    const state = depends.changed.includes(pcr)
      ? paint(io, 'red', 'another value than the key wants')
      : depends.pcrs.includes(pcr)
        ? paint(io, 'green', 'as the key wants')
        : ''
    return [`  PCR ${pcr}`, value.toString('hex'), state]
  })
  const lines = table(rows).map((row) => row.join('  ').trimEnd())
  return [`TPM of ${manufacturer}, firmware ${firmware}${locked}`, ...lines, ''].join('\n')
}
