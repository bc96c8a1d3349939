/**
 * The policy that the plugin needs and nothing more, in the policy language of
 * Vault and OpenBao. The tests against the real server run under exactly it.
 *
 * @module
 */

import { KmsError } from '../kms/errors.ts'

/** A secret of the key-value engine with settings for the plugin. */
export interface SettingsPlace {
  readonly mount: string
  readonly path: string
  /** Of the engine. */
  readonly version: 1 | 2
}

export interface PolicyInput {
  readonly namespace?: string | undefined
  /** Of the transit engine. */
  readonly mount: string
  readonly key: string
  readonly settingsFrom?: SettingsPlace | undefined
}

interface Rule {
  readonly why: string
  readonly path: string
  readonly capability: 'read' | 'update'
}

/** Anything else could be a wildcard, a template or the end of the string. */
const SAFE_PATH = /^[\w.-]+(?:\/[\w.-]+)*$/

/** @throws KmsError `request_invalid` for a path that a policy would not take literally */
export function policyText(input: PolicyInput): string {
  const rules = rulesFor(input).map(
    ({ why, path, capability }) =>
      `# ${why}\npath "${literal(path)}" {\n  capabilities = ["${capability}"]\n}\n`,
  )
  return [...head(input), ...rules].join('\n')
}

/** Whether two policies say the same but for comments and spaces. */
export function samePolicy(one: string, other: string): boolean {
  return wordsOf(one) === wordsOf(other)
}

/** Where the API has the secret; version 2 of the engine puts a word in between. */
export function settingsApiPath({ mount, path, version }: SettingsPlace): string {
  return version === 2 ? `${mount}/data/${path}` : `${mount}/${path}`
}

function head({ namespace }: PolicyInput): string[] {
  if (namespace === undefined) return []
  return [`# Stands in the namespace ${literal(namespace)}; its paths count from there.\n`]
}

function rulesFor({ mount, key, settingsFrom }: PolicyInput): Rule[] {
  const rules: Rule[] = [
    {
      why: 'Encrypts. Never "create" here: with it, a misspelt key name silently makes a new key.',
      path: `${mount}/encrypt/${key}`,
      capability: 'update',
    },
    {
      why: 'Decrypts.',
      path: `${mount}/decrypt/${key}`,
      capability: 'update',
    },
    {
      why: 'Sees which versions the key has, to notice a rotation. It shows no key material.',
      path: `${mount}/keys/${key}`,
      capability: 'read',
    },
    {
      why: 'Sees how long its own token lives. The "default" policy has it, but the role leaves that out.',
      path: 'auth/token/lookup-self',
      capability: 'read',
    },
    {
      why: 'Renews its own token.',
      path: 'auth/token/renew-self',
      capability: 'update',
    },
  ]
  if (settingsFrom !== undefined) {
    rules.push({
      why: 'Reads its settings (settingsFrom).',
      path: settingsApiPath(settingsFrom),
      capability: 'read',
    })
  }
  return rules
}

function literal(path: string): string {
  if (SAFE_PATH.test(path)) return path
  throw new KmsError(
    'A path for the policy has characters that it would not take literally: wanted letters, digits, "_", "-" and ".", joined by "/"',
    { code: 'request_invalid' },
  )
}

/** Strings stay whole; spaces between words, and lines that are comments, go. */
function wordsOf(text: string): string {
  const code = text.replaceAll(/^\s*(?:#|\/\/).*$/gm, '')
  return (code.match(/"[^"\n]*"|\S/g) ?? []).join(' ')
}
