/**
 * Compares the EncryptionConfiguration with the plugin's config, and with the way kube-apiserver
 * reads it.
 *
 * @module
 */

import { printable } from '../../console/output.ts'
import type { EncryptionConfig, EncryptionFile, KmsEntry } from '../kube/encryption_config.ts'
import { namedBy } from '../kube/encryption_resources.ts'
import { goDuration } from '../kube/go_values.ts'
import { meantBy } from '../kube/resource_names.ts'
import { type ApiServerFacts, startFindings } from './encryption_start.ts'
import { type Finding, found, ok } from './finding.ts'

const DEFAULT_TIMEOUT = '3s'

interface Served {
  readonly sockets: readonly string[]
  readonly requestTimeoutMs: number
  /** The endpoints of the file that lead to one of the sockets. */
  readonly ours: ReadonlySet<string>
}

export function encryptionFindings(
  { config, problems, moreDocuments }: EncryptionFile,
  served: Served,
  facts: ApiServerFacts,
): Finding[] {
  const findings = [
    ...startFindings(problems, facts),
    ...found(moreDocuments, {
      id: 'encryption-more-documents',
      level: 'warning',
      what: 'The EncryptionConfiguration is followed by another YAML document',
      why: 'The API server reads the first one alone.',
      todo: 'Put everything into one document.',
    }),
    ...(config === undefined ? [] : useFindings(config, served)),
  ]
  return findings.length > 0
    ? findings
    : [ok('encryption', 'The EncryptionConfiguration is as it should be')]
}

export function kmsEntries({ resources }: EncryptionConfig): KmsEntry[] {
  return resources.flatMap(({ providers }) => providers.flatMap(({ kms }) => kms ?? []))
}

function useFindings(config: EncryptionConfig, served: Served): Finding[] {
  const entries = kmsEntries(config)
  return [
    ...found(!entries.some(({ endpoint }) => served.ours.has(endpoint)), {
      id: 'encryption-endpoint',
      level: 'error',
      what: 'No kms entry of the EncryptionConfiguration names a socket of this plugin',
      why: 'The API server asks somebody else, or nobody. It takes the path alone: after unix:// come three slashes.',
      todo: `Wanted endpoint: unix://${served.sockets[0] ?? ''}`,
    }),
    ...entries.flatMap((entry) => timeoutFindings(entry, served)),
    ...ruleFindings(config, served),
    ...socketFindings(entries),
  ]
}

function timeoutFindings({ name, endpoint, timeout }: KmsEntry, served: Served): Finding[] {
  const ms = goDuration(timeout ?? DEFAULT_TIMEOUT) ?? 0
  return found(served.ours.has(endpoint) && ms > 0 && ms <= served.requestTimeoutMs, {
    id: 'encryption-timeout',
    level: 'warning',
    what: `The kms entry "${printable(name)}" has a timeout of ${ms} ms, and the plugin answers within ${served.requestTimeoutMs} ms`,
    why: 'The API server gives up before the plugin says what is wrong.',
    todo: 'Set timeout: 3s, or a shorter requestTimeout.',
  })
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
        !served.ours.has(writer.kms?.endpoint ?? ''),
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
    ...listed.flatMap(misnamed),
    ...againFindings(rules.map(({ resources }) => resources)),
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
  const { resource, group } = namedBy(name)
  return name === '*.*' || (group === '' && (resource === 'secrets' || name === '*.'))
}

function misnamed(name: string): Finding[] {
  const meant = meantBy(name)
  const word = printable(name)
  return found(meant !== undefined, {
    id: 'encryption-resource-misnamed',
    level: 'warning',
    what: `No resource is called ${word}: it is ${meant}`,
    why: `The API server takes it, and stores ${meant} in the clear.`,
    todo: `Write ${meant} in place of ${word}.`,
  })
}

/** Finds resources that two rules name. */
function againFindings(rules: readonly (readonly string[])[]): Finding[] {
  const seen = new Set<string>()
  const again = new Set<string>()
  for (const names of rules) {
    for (const name of names) if (seen.has(name) && !name.startsWith('*')) again.add(name)
    for (const name of names) seen.add(name)
  }
  return [...again].map((name) => ({
    id: 'encryption-resource-again',
    level: 'notice',
    what: `${printable(name)} stands in two rules`,
    why: 'The providers of both read it, and the first of the first rule writes it.',
    todo: 'Write its providers into one rule, so that the order can be seen.',
  }))
}

function socketFindings(entries: readonly KmsEntry[]): Finding[] {
  const names = new Set(entries.map(({ name }) => name))
  const sockets = new Set(entries.map(({ endpoint }) => endpoint))
  return found(sockets.size < names.size, {
    id: 'encryption-socket-twice',
    level: 'notice',
    what: 'Two names stand for one socket',
    why: 'Each costs a seed and a Status call of its own. It is right while one name takes over from another.',
    todo: 'Take the old entry out when "trousseau scan" finds nothing under its name.',
  })
}
