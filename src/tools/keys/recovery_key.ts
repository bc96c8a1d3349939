/**
 * `trousseau recovery …` makes keys that open a cluster's Secrets after all key services are gone,
 * and proves that they do.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { randomBytes, randomUUID, timingSafeEqual } from 'node:crypto'
import { resolve } from 'node:path'
import { KmsError } from '../../base/errors.ts'
import { SEED_BYTES } from '../../base/limits.ts'
import type { Io } from '../../console/io.ts'
import { EXIT, json } from '../../console/output.ts'
import { connectKms } from '../../grpc/client.ts'
import { reach } from '../../grpc/reach.ts'
import { decodeEnvelope } from '../../kms/envelope.ts'
import { RECOVERY_ANNOTATION } from '../../kms/recovery.ts'
import { openRecoveryAnnotation, recipientsOf } from '../../recovery/annotation.ts'
import {
  generateRecoveryKey,
  type PrivateJwk,
  type RecoveryCurve,
  thumbprintOf,
} from '../../recovery/jwk.ts'
import {
  checkAbsent,
  isEncrypted,
  publicPathOf,
  readPrivateKey,
  writeKeyPair,
} from '../../recovery/key_file.ts'
import { readSecretLine } from '../../remote/secret_file.ts'

const MIN_PASSPHRASE = 12

export interface RecoveryKeygenOptions {
  readonly file: string
  readonly curve: RecoveryCurve
  /** False leaves the key in the clear. */
  readonly passphrase: boolean
  /** File that holds the passphrase; where absent, it is asked for at the terminal. */
  readonly passphraseFile?: string
  readonly json: boolean
}

/** @throws KmsError when a file exists or cannot be written, or there is no passphrase */
export async function recoveryKeygen(options: RecoveryKeygenOptions, io: Io): Promise<number> {
  const path = resolve(options.file)
  const publicPath = publicPathOf(path)
  await checkAbsent([path, publicPath])
  const passphrase = options.passphrase ? await newPassphrase(options, io) : undefined
  const { thumbprint, ...pair } = await generateRecoveryKey(options.curve)
  await writeKeyPair(path, pair, passphrase)
  if (options.json) {
    const encrypted = passphrase !== undefined
    const { curve } = options
    io.out(json({ file: path, publicFile: publicPath, curve, encrypted, thumbprint }))
    return EXIT.ok
  }
  const form = passphrase === undefined ? 'in the clear' : 'encrypted with your passphrase'
  io.out(
    `Made ${path} (${options.curve}, mode 0600, ${form})\n` +
      `and  ${publicPath}, its public half\n\n` +
      `  thumbprint  ${thumbprint}\n\n` +
      'Keep the private key offline, in two places that no fire takes at once: with it and a copy of etcd\n' +
      'anybody reads every Secret, and nobody can take that back. Put the public half on every node,\n' +
      'and into the config:\n\n' +
      `recovery:\n  recipients:\n    - ${JSON.stringify(publicPath)}\n\n` +
      `Then prove that it works:\n\n  trousseau recovery-key verify --socket PATH --key ${path}\n`,
  )
  return EXIT.ok
}

export interface RecoveryVerifyOptions {
  readonly socketPath: string
  readonly key: string
  readonly passphraseFile?: string
  readonly timeoutMs: number
  readonly json: boolean
}

/** @throws KmsError with the reason, where the key does not open what the plugin makes */
export async function recoveryVerify(options: RecoveryVerifyOptions, io: Io): Promise<number> {
  const key = await readRecoveryKey(options.key, options, io)
  const seed = randomBytes(SEED_BYTES)
  await reach(options.socketPath, options.timeoutMs)
  const client = connectKms(options.socketPath, options)
  try {
    const { ciphertext, keyId, annotations } = await client.v2.encrypt({
      plaintext: seed,
      uid: randomUUID(),
    })
    const annotation = annotations[RECOVERY_ANNOTATION]
    if (annotation === undefined) {
      throw new KmsError(
        'The plugin seals to nobody: its config has no recovery.recipients, or it is another plugin',
        { code: 'key_unavailable' },
      )
    }
    const { digest } = decodeEnvelope(ciphertext)
    const opened = await openRecoveryAnnotation(annotation, key, digest)
    if (opened.length !== seed.length || !timingSafeEqual(opened, seed)) {
      throw new KmsError('The annotation opens to something else than what was encrypted', {
        code: 'ciphertext_invalid',
      })
    }
    const thumbprint = await thumbprintOf(key)
    const recipients = recipientsOf(annotation).length
    const annotationBytes = Buffer.byteLength(annotation)
    io.out(
      options.json
        ? json({ opens: true, thumbprint, keyId, recipients, annotationBytes })
        : `${thumbprint} opens what this plugin encrypts\n` +
            `  key id      ${keyId}\n` +
            `  recipients  ${recipients}\n` +
            `  annotation  ${annotationBytes} bytes with every object\n`,
    )
    return EXIT.ok
  } finally {
    client.close()
  }
}

export interface PassphraseSource {
  readonly passphraseFile?: string
}

async function newPassphrase({ passphraseFile }: PassphraseSource, io: Io): Promise<string> {
  const passphrase =
    passphraseFile === undefined
      ? await typedTwice(io)
      : await readSecretLine(resolve(passphraseFile), '--passphrase-file')
  if (passphrase.length >= MIN_PASSPHRASE) return passphrase
  throw new KmsError(`Passphrase is too short: wanted at least ${MIN_PASSPHRASE} characters`, {
    code: 'request_invalid',
  })
}

async function typedTwice(io: Io): Promise<string> {
  const first = await io.ask('Passphrase: ')
  if (first === (await io.ask('The same again: '))) return first
  throw new KmsError('The two passphrases differ', { code: 'request_invalid' })
}

/**
 * Asks for the passphrase where the key has one and no file holds it.
 *
 * @throws KmsError `request_invalid`
 */
export async function readRecoveryKey(
  file: string,
  { passphraseFile }: PassphraseSource,
  io: Io,
): Promise<PrivateJwk> {
  const path = resolve(file)
  if (!(await isEncrypted(path))) return await readPrivateKey(path, undefined)
  const passphrase =
    passphraseFile === undefined
      ? await io.ask(`Passphrase of ${path}: `)
      : await readSecretLine(resolve(passphraseFile), '--passphrase-file')
  return await readPrivateKey(path, passphrase)
}
