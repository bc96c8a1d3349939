/**
 * The policy that the plugin needs and nothing more, in the policy language of Vault and OpenBao.
 * The tests against the real server run under exactly this policy.
 *
 * @module
 */

import { KmsError } from '../../../base/errors.ts'

/** A secret of the key-value engine with settings for the plugin. */
export interface SettingsPlace {
  readonly mount: string
  readonly path: string
  /** The version of the engine. */
  readonly version: 1 | 2
}

export interface PolicyInput {
  readonly namespace?: string | undefined
  /** The mount of the transit engine. */
  readonly mount: string
  readonly key: string
  /** True for the key of a signer. */
  readonly signs?: boolean | undefined
  readonly settingsFrom?: SettingsPlace | undefined
  /** How the plugin logs in; where absent, by a login of its own. */
  readonly auth?: { readonly method: string; readonly mount?: string } | undefined
}

interface Rule {
  readonly why: string
  readonly path: string
  readonly capability: 'read' | 'update'
}

/** Logins in which the token comes from somebody else, so that the plugin must not revoke it. */
const GIVEN: ReadonlySet<string> = new Set(['token', 'agent'])

/** Anything else could be a wildcard, a template or the end of the string. */
const SAFE_PATH = /^[\w.~-]+(?:\/[\w.~-]+)*$/

/** @throws KmsError `request_invalid` for a path that a policy would not take literally */
export function policyText(input: PolicyInput): string {
  const rules = rulesFor(input).map(
    ({ why, path, capability }) =>
      `# ${why}\npath "${path}" {\n  capabilities = ["${capability}"]\n}\n`,
  )
  return [...head(input), ...rules].join('\n')
}

/** Whether two policies are the same except for comments and white space. */
export function samePolicy(one: string, other: string): boolean {
  return wordsOf(one) === wordsOf(other)
}

/** The path of the secret in the API; version 2 of the engine adds a word to it. */
export function settingsApiPath({ mount, path, version }: SettingsPlace): string {
  return version === 2 ? `${mount}/data/${path}` : `${mount}/${path}`
}

function head({ namespace }: PolicyInput): string[] {
  if (namespace === undefined) return []
  return [`# Stands in the namespace ${literal(namespace)}; its paths count from there.\n`]
}

function rulesFor(input: PolicyInput): Rule[] {
  return [...keyRules(input), ...tokenRules(input), ...settingsRules(input)]
}

const SEES_VERSIONS =
  'Sees which versions the key has, to notice a rotation. It shows no key material.'

function keyRules({ mount, key, signs }: PolicyInput): Rule[] {
  const sees = {
    why: SEES_VERSIONS,
    path: literal(`${mount}/keys/${key}`),
    capability: 'read',
  } as const
  if (signs === true) {
    const path = literal(`${mount}/sign/${key}`)
    return [{ why: 'Signs ServiceAccount tokens.', path, capability: 'update' }, sees]
  }
  return [
    {
      why: 'Encrypts. Never "create" here: with it, a misspelt key name silently makes a new key.',
      path: literal(`${mount}/encrypt/${key}`),
      capability: 'update',
    },
    {
      why: 'Decrypts.',
      path: literal(`${mount}/decrypt/${key}`),
      capability: 'update',
    },
    sees,
  ]
}

function tokenRules({ auth }: PolicyInput): Rule[] {
  const rules: Rule[] = [
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
  if (auth !== undefined && GIVEN.has(auth.method)) return rules
  rules.push({
    why: 'Ends its own token when it stops, so that none is left behind.',
    path: 'auth/token/revoke-self',
    capability: 'update',
  })
  if (auth?.method !== 'approle' || auth.mount === undefined) return rules
  rules.push({
    why: 'Sees when its own secret id ends. Whoever asks must have that, so it may be of any role.',
    path: `auth/${literal(auth.mount)}/role/+/secret-id/lookup`,
    capability: 'update',
  })
  return rules
}

function settingsRules({ settingsFrom }: PolicyInput): Rule[] {
  if (settingsFrom === undefined) return []
  const path = literal(settingsApiPath(settingsFrom))
  return [{ why: 'Reads its settings (settingsFrom).', path, capability: 'read' }]
}

function literal(path: string): string {
  if (SAFE_PATH.test(path)) return path
  throw new KmsError(
    'A path for the policy has characters that it would not take literally: wanted letters, digits, "_", "-", "~" and ".", joined by "/"',
    { code: 'request_invalid' },
  )
}

/** Keeps strings whole, and removes white space between words and lines that are comments. */
function wordsOf(text: string): string {
  const code = text.replaceAll(/^\s*(?:#|\/\/).*$/gm, '')
  return (code.match(/"[^"\n]*"|\S/g) ?? []).join(' ')
}
