/**
 * `trousseau login-key create`: the key with which one node signs its own logins, and
 * the script that tells Vault or OpenBao of its public half.
 *
 * @module
 */

import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { resolve } from 'node:path'
import { KmsError, systemCodeOf, systemReasonOf } from '../../base/errors.ts'
import { writeNewFile } from '../../base/file_on_disk.ts'
import { comment, word } from '../../base/shell.ts'
import type { Io } from '../../console/io.ts'
import { EXIT, json } from '../../console/output.ts'
import { readLoginKey } from '../../remote/assertion.ts'
import { DEFAULT_DEVICE } from '../../remote/tpm/config.ts'
import { PREFIX, unlessThere } from '../../services/vault/setup/shell.ts'
import type { TpmOptions } from './tpm_login_key.ts'

export const LOGIN_KEY_TYPES = ['ES256', 'EdDSA'] as const
type LoginKeyType = (typeof LOGIN_KEY_TYPES)[number]

export interface LoginKeygenOptions {
  readonly file: string
  readonly type: LoginKeyType
  /** Use the key that exists. */
  readonly existing: boolean
  /** Make it in the TPM; where absent, in a file. */
  readonly tpm?: TpmOptions | undefined
  readonly audience: string
  readonly subject: string
  readonly mount: string
  readonly role: string
  /** The client that the operator uses. */
  readonly cli: 'vault' | 'bao'
  /** Further claims. */
  readonly json: boolean
  readonly claims: Readonly<Record<string, string>>
}

const MODE = 0o600

/** @throws KmsError when the file exists or cannot be written, or with `existing` holds no key */
export async function loginKeygen(options: LoginKeygenOptions, io: Io): Promise<number> {
  const path = resolve(options.file)
  const { publicKey, algorithm, inTpm } = options.existing
    ? await readLoginKey(path)
    : await made(path, options, io)
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const jwk = { ...publicKey.export({ format: 'jwk' }), alg: algorithm, use: 'sig' }
  const text = script(options, pem, jwk)
  if (options.json) {
    const { subject } = options
    io.out(json({ file: path, type: algorithm, subject, publicKey: { pem, jwk }, script: text }))
    return EXIT.ok
  }
  io.out(text)
  const what = options.existing ? algorithm : `made, ${algorithm}, mode 0600`
  const where = inTpm ? "it is of use with this node's TPM alone" : 'it stays on this node'
  io.err(`The key is ${path} (${what}): ${where}.\n`)
  io.err(`Run what stands on standard output at the key service. In the config of this node:\n\n`)
  io.err(yaml(options, path, inTpm))
  return EXIT.ok
}

async function made(path: string, { type, tpm }: LoginKeygenOptions, io: Io) {
  if (tpm !== undefined) {
    const { newTpmKey } = await import('./tpm_login_key.ts')
    const { text, publicKey } = await newTpmKey(tpm, io)
    await write(path, text)
    return { publicKey, algorithm: 'ES256', inTpm: true }
  }
  const key = newKey(type)
  await write(path, key.export({ type: 'pkcs8', format: 'pem' }).toString())
  return { publicKey: createPublicKey(key), algorithm: type, inTpm: false }
}

function newKey(type: LoginKeyType): KeyObject {
  return type === 'EdDSA'
    ? generateKeyPairSync('ed25519').privateKey
    : generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
}

async function write(path: string, text: string): Promise<void> {
  try {
    await writeNewFile(path, text, MODE)
  } catch (cause) {
    const why =
      systemCodeOf(cause) === 'EEXIST'
        ? 'is there already, and nothing is overwritten: --existing prints the script for it'
        : `cannot be made: ${systemReasonOf(cause)}`
    throw new KmsError(`File "${path}" ${why}`, { code: 'request_invalid', cause })
  }
}

/**
 * The script adds the key to those of the other nodes. The service replaces the list as a whole, so
 * a list that cannot be read must not be taken for an empty one.
 */
function script({ cli, mount, subject }: LoginKeygenOptions, pem: string, jwk: object): string {
  const path = `auth/${mount}/config`
  const key = pem.trimEnd().replaceAll('\n', '\\n')
  const login = unlessThere(
    [cli, 'read', `sys/auth/${mount}`],
    [cli, 'auth', 'enable', `-path=${mount}`, 'jwt'],
  )
  return [
    '#!/bin/sh',
    comment(
      `Lets in whoever has the login key of ${subject}. Run it as an administrator of the key service`,
    ),
    `# (${cli} login, or ${PREFIX[cli]}_TOKEN). The keys of other nodes stay; it may be run again. Every key of a mount`,
    '# is good for all of its roles: another cluster gets a mount of its own (--mount).',
    '',
    '# The public half as JWK, and as PEM below:',
    `# ${JSON.stringify(jwk)}`,
    '',
    'set -eu',
    login,
    `key='${key}'`,
    `config=$(${cli} read -format=json -field=data ${word(path)} 2>&1) || :`,
    `list='"jwt_validation_pubkeys": '`,
    'case $config in',
    `  *"$key"*) echo 'The key is there already.'; exit ;;`,
    `  'No value found at '*) config="{$list[\\"$key\\"]}" ;;`,
    `  *"$list[]"*) config="\${config%%"$list[]"*}$list[\\"$key\\"]\${config#*"$list[]"}" ;;`,
    `  *"$list["*) config="\${config%%"$list["*}$list[\\"$key\\",\${config#*"$list["}" ;;`,
    `  *) printf 'Nothing was changed: %s\\n' "$config" >&2; exit 1 ;;`,
    'esac',
    `printf '%s\\n' "$config" | ${cli} write ${word(path)} -`,
    '',
  ].join('\n')
}

function yaml(options: LoginKeygenOptions, path: string, inTpm: boolean): string {
  const { mount, role, audience, subject, claims, tpm } = options
  const quoted = (text: string) => JSON.stringify(text)
  const lines = [
    'auth:',
    '  method: jwt',
    `  mount: ${quoted(mount)}`,
    `  role: ${quoted(role)}`,
    '  selfSigned:',
    ...(inTpm ? tpmYaml(quoted(path), tpm) : [`    keyFile: ${quoted(path)}`]),
    `    audience: ${quoted(audience)}`,
    `    subject: ${quoted(subject)}`,
  ]
  if (Object.keys(claims).length > 0) lines.push(`    claims: ${JSON.stringify(claims)}`)
  return `${lines.map((line) => `  ${line}`).join('\n')}\n`
}

function tpmYaml(path: string, tpm: TpmOptions | undefined): string[] {
  const lines = ['    tpm:', `      keyFile: ${path}`]
  if (tpm?.authorize !== undefined) {
    lines.push('      policyFile: /etc/trousseau/tpm-policies.json   # of "login-key authorize"')
  }
  if (tpm?.device !== undefined && tpm.device !== DEFAULT_DEVICE) {
    lines.push(`      device: ${JSON.stringify(tpm.device)}`)
  }
  return lines
}

/** @throws KmsError where the file holds no login key */
export async function printPublicKey(file: string, io: Io): Promise<number> {
  const { publicKey } = await readLoginKey(resolve(file))
  io.out(publicKey.export({ type: 'spki', format: 'pem' }).toString())
  return EXIT.ok
}
