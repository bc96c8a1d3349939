/** The EncryptionConfiguration against the plugin's config and against what kube-apiserver makes of it. @module */

import type { EncryptionConfig, KmsEntry } from '../../kube/encryption_config.ts'
import { printable } from '../output.ts'
import { type Finding, found, ok } from './finding.ts'

const DEFAULT_TIMEOUT_MS = 3_000
const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000 }

export interface Served {
  readonly sockets: readonly string[]
  readonly requestTimeoutMs: number
}

export function encryptionFindings(config: EncryptionConfig, served: Served): Finding[] {
  const entries = config.resources.flatMap(({ providers }) =>
    providers.flatMap(({ kms }) => kms ?? []),
  )
  const ours = entries.filter(({ endpoint }) => isOurs(endpoint, served))
  const findings = [
    ...found(ours.length === 0, {
      id: 'encryption-endpoint',
      level: 'error',
      what: 'No kms entry of the EncryptionConfiguration names a socket of this plugin',
      why: 'The API server asks somebody else, or nobody.',
      todo: `Wanted endpoint: unix://${served.sockets[0] ?? ''}`,
    }),
    ...entries.flatMap((entry) => entryFindings(entry, served)),
    ...ruleFindings(config, served),
    ...namesFindings(entries),
  ]
  return findings.length > 0
    ? findings
    : [ok('encryption', 'The EncryptionConfiguration is as it should be')]
}

/** Only the path counts for kube-apiserver. */
function isOurs(endpoint: string, { sockets }: Served): boolean {
  return endpoint.startsWith('unix:///') && sockets.includes(endpoint.slice('unix://'.length))
}

function entryFindings(entry: KmsEntry, served: Served): Finding[] {
  const where = `kms entry "${printable(entry.name)}"`
  const v2 = entry.apiVersion === 'v2'
  const timeout = millisecondsOf(entry.timeout)
  return [
    ...found(entry.apiVersion === undefined, {
      id: 'encryption-version-missing',
      level: 'error',
      what: `The ${where} has no apiVersion, which means v1`,
      why: 'API servers since 1.29 refuse v1 unless the feature gate KMSv1 is on.',
      todo: 'Write apiVersion: v2.',
    }),
    ...found(entry.apiVersion === 'v1', {
      id: 'encryption-v1',
      level: 'warning',
      what: `The ${where} is of KMS v1`,
      why: 'It needs the feature gate KMSv1, asks the key service at every write, and is deprecated.',
      todo: 'Move to v2: docs/runbooks/migrate-from-v1.md.',
    }),
    ...found(v2 && entry.cachesize !== undefined, {
      id: 'encryption-cachesize',
      level: 'error',
      what: `The ${where} has cachesize, which v2 does not know`,
      why: 'The API server does not start.',
      todo: 'Take cachesize out.',
    }),
    ...found(v2 && entry.name.includes(':'), {
      id: 'encryption-name',
      level: 'error',
      what: `The ${where} has a colon in its name`,
      why: 'The API server does not start with it under v2.',
      todo: 'Choose a name without it; the name of an entry that was used can never be changed.',
    }),
    ...found(!entry.endpoint.startsWith('unix:///'), {
      id: 'encryption-endpoint-form',
      level: 'error',
      what: `The ${where} has an endpoint that is not unix:///path`,
      why: 'The API server does not find the socket.',
      todo: 'Write unix:// and the absolute path: three slashes.',
    }),
    ...found(isOurs(entry.endpoint, served) && timeout <= served.requestTimeoutMs, {
      id: 'encryption-timeout',
      level: 'warning',
      what: `The ${where} has a timeout of ${timeout} ms, and the plugin answers within ${served.requestTimeoutMs} ms`,
      why: 'The API server gives up before the plugin says what is wrong.',
      todo: 'Set timeout: 3s, or a shorter requestTimeout.',
    }),
  ]
}

function millisecondsOf(text: string | undefined): number {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(text ?? '') ?? []
  return number === undefined ? DEFAULT_TIMEOUT_MS : Number(number) * (UNITS[unit] ?? 1)
}

function ruleFindings(config: EncryptionConfig, served: Served): Finding[] {
  const rules = config.resources
  const listed = rules.flatMap(({ resources }) => resources)
  const first = rules.find(({ resources }) => resources.some(coversSecrets))
  const [writer] = first?.providers ?? []
  return [
    ...found(first === undefined, {
      id: 'encryption-secrets-missing',
      level: 'error',
      what: 'The EncryptionConfiguration does not list secrets',
      why: 'Secrets are stored in the clear.',
      todo: 'Write resources: [secrets].',
    }),
    ...found(writer?.identity !== undefined, {
      id: 'encryption-identity-first',
      level: 'warning',
      what: 'identity comes first for secrets',
      why: 'Secrets are stored in the clear. It is right only while several API servers learn of a new provider.',
      todo: 'Move the kms entry to the front once every API server has it.',
    }),
    ...found(
      writer !== undefined &&
        writer.identity === undefined &&
        !(writer.kms !== undefined && isOurs(writer.kms.endpoint, served)),
      {
        id: 'encryption-other-first',
        level: 'warning',
        what: 'Another provider comes before this plugin for secrets',
        why: 'New Secrets are encrypted by that one; this plugin only opens old ones.',
        todo: 'Move the kms entry to the front once every API server has it.',
      },
    ),
    ...found(
      rules.some(
        ({ providers }) => providers.length > 1 && providers.at(-1)?.identity !== undefined,
      ),
      {
        id: 'encryption-identity-left',
        level: 'notice',
        what: 'identity is still there as the last provider',
        why: 'What somebody puts into etcd in the clear is taken for real.',
        todo: 'Take it out when "trousseau scan" finds no plaintext.',
      },
    ),
    ...maskedFindings(rules.map(({ resources }) => resources)),
    ...found(listed.some((name) => name === '*.*' || name === '*.') && rules.length > 1, {
      id: 'encryption-wildcard',
      level: 'notice',
      what: 'A wildcard stands beside other rules',
      why: 'The first rule that names a resource decides; a wildcard also covers what is added later.',
      todo: 'Keep the wildcard in the last rule.',
    }),
  ]
}

function coversSecrets(name: string): boolean {
  return name === 'secrets' || name === '*.' || name === '*.*'
}

/** Resources of a rule that an earlier one decides about. */
function maskedFindings(rules: readonly (readonly string[])[]): Finding[] {
  const seen: string[] = []
  const masked: string[] = []
  for (const names of rules) {
    masked.push(...names.filter((name) => seen.some((earlier) => decides(earlier, name))))
    seen.push(...names)
  }
  return masked.map((name) => ({
    id: 'encryption-masked',
    level: 'error',
    what: `${printable(name)} is listed after a rule that names it already`,
    why: 'The later rule never has an effect, or the API server does not start.',
    todo: 'Put the rule with the single name first, and wildcards last.',
  }))
}

function decides(earlier: string, name: string): boolean {
  const group = name.includes('.') ? name.slice(name.indexOf('.') + 1) : ''
  return earlier === name || earlier === '*.*' || earlier === `*.${group}`
}

function namesFindings(entries: readonly KmsEntry[]): Finding[] {
  const names = new Map<string, Set<string>>()
  for (const { name, endpoint } of entries)
    names.set(name, (names.get(name) ?? new Set()).add(endpoint))
  const twice = [...names].filter(([, endpoints]) => endpoints.size > 1)
  const sockets = new Set(entries.map(({ endpoint }) => endpoint))
  return [
    ...twice.map(
      ([name]): Finding => ({
        id: 'encryption-name-twice',
        level: 'error',
        what: `The name "${printable(name)}" stands for two sockets`,
        why: 'The name is stored with every object: the API server refuses, or asks the wrong one.',
        todo: 'Give each socket a name of its own.',
      }),
    ),
    ...found(sockets.size < names.size, {
      id: 'encryption-socket-twice',
      level: 'notice',
      what: 'Two names stand for one socket',
      why: 'Each costs a seed and a Status call of its own. It is right while one name takes over from another.',
      todo: 'Take the old entry out when "trousseau scan" finds nothing under its name.',
    }),
  ]
}
