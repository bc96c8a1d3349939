/** How a file of the corpus is put together. @module */

/** Stands for the endpoint of a plugin that answers. */
export const ENDPOINT = 'unix:///ENDPOINT'
export const KEY_32 = `${'A'.repeat(43)}=`
export const KEY_24 = 'A'.repeat(32)
export const KEY_16 = `${'A'.repeat(22)}==`
const HEAD = 'apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n'

export interface Sample {
  readonly what: string
  readonly text: string
  /** The id by which doctor says why kube-apiserver exits; it starts where absent. */
  readonly exits?: string
  /** What doctor says of a file with which it starts, beside nothing. */
  readonly told?: readonly string[]
  /** Of the API server. */
  readonly flags?: readonly string[]
}

type Told = Omit<Sample, 'what' | 'text' | 'exits'>

export function bad(exits: string, what: string, text: string, more: Told = {}): Sample {
  return { what, text, exits, ...more }
}

export function good(what: string, text: string, more: Told = {}): Sample {
  return { what, text, ...more }
}

/** A whole file of rules. */
export function file(...rules: readonly string[]): string {
  return `${HEAD}resources:\n${rules.join('')}`
}

/** The head as it is given, and a rule that is well. */
export function headed(head: string): string {
  return `${head}resources:\n${rule('[secrets]', kms())}`
}

/** @param resources in YAML's flow style, as the providers are */
export function rule(resources: string, ...providers: readonly string[]): string {
  const items = providers.map((each) => `      - ${each}\n`).join('')
  return `  - resources: ${resources}\n    providers:\n${items}`
}

/** A kms provider; what is undefined is left out. */
export function kms(fields: Readonly<Record<string, string | undefined>> = {}): string {
  const all = { apiVersion: 'v2', name: 'one', endpoint: ENDPOINT, timeout: '3s', ...fields }
  const entries = Object.entries(all).flatMap(([key, value]) =>
    value === undefined ? [] : [`${key}: ${value}`],
  )
  return `kms: { ${entries.join(', ')} }`
}

/** A provider with keys in the file. */
export function keys(kind: string, ...secrets: readonly string[]): string {
  const items = secrets.map((secret, at) => `{ name: key${at + 1}, secret: ${secret} }`)
  return `${kind}: { keys: [${items.join(', ')}] }`
}
