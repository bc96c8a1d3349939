/**
 * `trousseau login keygen`: the key with which one node signs its own logins, and
 * everything that Vault or OpenBao must be told of its public half.
 *
 * @module
 */

import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { resolve } from 'node:path'
import { writeNewFile } from '../auth/file_on_disk.ts'
import { KmsError, systemCodeOf, systemReasonOf } from '../kms/errors.ts'
import type { Io } from './io.ts'
import { EXIT } from './output.ts'

export const LOGIN_KEY_TYPES = ['ES256', 'EdDSA'] as const
export type LoginKeyType = (typeof LOGIN_KEY_TYPES)[number]

export interface LoginKeygenOptions {
  readonly file: string
  readonly type: LoginKeyType
  readonly audience: string
  readonly subject: string
  readonly mount: string
  readonly role: string
  readonly policy: string
  /** More claims that the role binds. */
  readonly claims: Readonly<Record<string, string>>
}

const MODE = 0o600

/** @throws KmsError when the file is there already or cannot be written */
export async function loginKeygen(options: LoginKeygenOptions, io: Io): Promise<number> {
  const path = resolve(options.file)
  const key = newKey(options.type)
  await write(path, key.export({ type: 'pkcs8', format: 'pem' }).toString())
  const publicKey = createPublicKey(key)
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const jwk = { ...publicKey.export({ format: 'jwk' }), alg: options.type, use: 'sig' }
  io.out(`Made ${path} (${options.type}, mode 0600): it stays on this node.\n\n`)
  io.out(`Public half, PEM:\n\n${pem}\nPublic half, JWK:\n\n${JSON.stringify(jwk)}\n\n`)
  io.out(commands(options, pem))
  io.out(`\nIn the config of this node:\n\n${yaml(options, path)}`)
  return EXIT.ok
}

function newKey(type: LoginKeyType): KeyObject {
  return type === 'EdDSA'
    ? generateKeyPairSync('ed25519').privateKey
    : generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
}

async function write(path: string, pem: string): Promise<void> {
  try {
    await writeNewFile(path, pem, MODE)
  } catch (cause) {
    const why =
      systemCodeOf(cause) === 'EEXIST'
        ? 'is there already, and nothing is overwritten'
        : `cannot be made: ${systemReasonOf(cause)}`
    throw new KmsError(`File "${path}" ${why}`, { code: 'request_invalid', cause })
  }
}

/** The role's fields; JSON, since maps have no other form on the command line. */
export function jwtRole({
  audience,
  claims,
  policy,
}: Pick<LoginKeygenOptions, 'audience' | 'claims' | 'policy'>): Readonly<Record<string, unknown>> {
  return {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: [audience],
    ...(Object.keys(claims).length === 0 ? {} : { bound_claims: claims }),
    token_policies: [policy],
    token_no_default_policy: true,
    token_ttl: '1h',
  }
}

function commands(options: LoginKeygenOptions, pem: string): string {
  const { mount, role } = options
  const config = { jwt_validation_pubkeys: [pem] }
  return [
    'At the key service (bao for OpenBao takes the same):',
    '',
    `  vault auth enable -path=${mount} jwt`,
    '',
    '  # Replaces the whole list: put the public halves of all other nodes into it too.',
    '  # vault read -format=json shows the list as it is:',
    `  #   vault read -format=json auth/${mount}/config`,
    `  vault write auth/${mount}/config - <<'JSON'`,
    `  ${JSON.stringify(config)}`,
    'JSON',
    '',
    '  # With a subject or a claim of its own for each node, one node can be shut out by its role.',
    `  vault write auth/${mount}/role/${role} - <<'JSON'`,
    `  ${JSON.stringify(jwtRole(options))}`,
    'JSON',
    '',
  ].join('\n')
}

function yaml(options: LoginKeygenOptions, path: string): string {
  const { mount, role, audience, subject, claims } = options
  const quoted = (text: string) => JSON.stringify(text)
  const lines = [
    'auth:',
    '  method: jwt',
    `  mount: ${quoted(mount)}`,
    `  role: ${quoted(role)}`,
    '  selfSigned:',
    `    keyFile: ${quoted(path)}`,
    `    audience: ${quoted(audience)}`,
    `    subject: ${quoted(subject)}`,
  ]
  if (Object.keys(claims).length > 0) lines.push(`    claims: ${JSON.stringify(claims)}`)
  return `${lines.map((line) => `  ${line}`).join('\n')}\n`
}
