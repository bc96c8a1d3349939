/**
 * The rules by which kube-apiserver validates an EncryptionConfiguration after decoding it. It
 * exits where one is broken. They are the same in Kubernetes 1.29 to 1.37.
 *
 * @module
 */

import * as v from 'valibot'
import type { EncryptionConfig, KmsEntry, ProviderEntry } from './encryption_config.ts'
import type { ConfigProblem } from './encryption_problem.ts'
import { resourceProblems } from './encryption_resources.ts'
import { text } from './go_json.ts'
import { base64Bytes, goDuration, goUrl } from './go_values.ts'

/** These two fields alone say what kind of file it is. */
const head = v.object({ apiVersion: text, kind: text })
/** The second one stood in older documentation. */
const KINDS = ['apiserver.config.k8s.io/v1 EncryptionConfiguration', 'v1 EncryptionConfig']

export function kindProblems(value: unknown): ConfigProblem[] {
  const read = v.safeParse(head, value)
  // A field that is not text is reported when the rest is decoded.
  if (!read.success || KINDS.includes(`${read.output.apiVersion} ${read.output.kind}`)) return []
  return [
    {
      id: 'encryption-kind',
      at: 'apiVersion and kind',
      what: 'they are not those of an EncryptionConfiguration',
      todo: 'Write apiVersion: apiserver.config.k8s.io/v1 and kind: EncryptionConfiguration.',
    },
  ]
}

interface KmsRule extends Omit<ConfigProblem, 'at'> {
  readonly field: keyof KmsEntry
  readonly broken: (entry: KmsEntry, version: string) => boolean
}

const KMS_RULES: readonly KmsRule[] = [
  {
    id: 'encryption-name',
    field: 'name',
    broken: ({ name }) => name === '',
    what: 'it is empty',
    todo: 'Choose a name; it is stored with every object, and can never be changed.',
  },
  {
    id: 'encryption-name',
    field: 'name',
    broken: ({ name }, version) => version !== 'v1' && name.includes(':'),
    what: 'it has a colon',
    todo: 'Choose a name without it; the name of an entry that was used can never be changed.',
  },
  {
    id: 'encryption-version-missing',
    field: 'apiVersion',
    broken: ({ apiVersion }) => apiVersion === '',
    what: 'it is not there, which means v1, and that needs the feature gate KMSv1',
    todo: 'Write apiVersion: v2.',
    unless: 'kmsV1',
  },
  {
    id: 'encryption-v1',
    field: 'apiVersion',
    broken: ({ apiVersion }) => apiVersion === 'v1',
    what: 'v1 needs the feature gate KMSv1, asks the key service at every write, and is deprecated',
    todo: 'Move to v2: docs/runbooks/migrate-from-v1.md.',
    unless: 'kmsV1',
  },
  {
    id: 'encryption-kms-version',
    field: 'apiVersion',
    broken: (_entry, version) => version !== 'v1' && version !== 'v2',
    what: 'there is no such version of the KMS protocol for it',
    todo: 'Write apiVersion: v2.',
  },
  {
    id: 'encryption-timeout-invalid',
    field: 'timeout',
    broken: ({ timeout = '3s' }) => (goDuration(timeout) ?? 0) <= 0,
    what: 'it is no duration above zero as Go writes them',
    todo: 'Write timeout: 3s, or take it out, which means the same.',
  },
  {
    id: 'encryption-endpoint-form',
    field: 'endpoint',
    broken: ({ endpoint }) => !isSocketUrl(endpoint),
    what: 'it is no URL that begins with unix://, or has a percent sign in its path',
    todo: 'Write unix:// and the absolute path: three slashes.',
  },
  {
    id: 'encryption-cachesize',
    field: 'cachesize',
    broken: ({ cachesize }, version) => version !== 'v1' && cachesize !== undefined,
    what: 'v2 does not know it',
    todo: 'Take cachesize out.',
  },
  {
    id: 'encryption-cachesize',
    field: 'cachesize',
    broken: ({ cachesize }, version) => version === 'v1' && cachesize === 0,
    what: 'it is zero',
    todo: 'Write a number above zero, or -1 for no cache.',
  },
]

const KEY_BYTES = { aesgcm: [16, 24, 32], aescbc: [16, 24, 32], secretbox: [32] } as const
const KEY_KINDS = ['aesgcm', 'aescbc', 'secretbox'] as const

/** The path is decoded and then parsed as a URL once more. */
function isSocketUrl(endpoint: string): boolean {
  const url = goUrl(endpoint)
  return url?.scheme === 'unix' && goUrl(`x:///${url.path}`) !== undefined
}

/** Checks the parts that could be decoded. */
export function ruleProblems({ resources }: EncryptionConfig): ConfigProblem[] {
  const names = new Set<string>()
  return [
    ...found(resources.length === 0, empty('resources')),
    ...resourceProblems(resources.map((rule) => rule.resources)),
    ...resources.flatMap(({ providers }, index) => {
      const at = `resources[${index}].providers`
      return [
        ...found(providers.length === 0, empty(at)),
        ...providers.flatMap((each, place) => providerProblems(each, `${at}[${place}]`, names)),
      ]
    }),
  ]
}

function providerProblems(entry: ProviderEntry, at: string, names: Set<string>): ConfigProblem[] {
  const { kms, identity } = entry
  const count = [kms, identity, ...KEY_KINDS.map((kind) => entry[kind])].filter(
    (each) => each !== undefined,
  ).length
  return [
    ...found(count !== 1, {
      id: 'encryption-provider-count',
      at,
      what:
        count === 0
          ? 'it names no provider: kms, aesgcm, aescbc, secretbox or identity'
          : 'it names more than one provider',
      todo: 'Write each provider as an item of its own; identity as "identity: {}".',
    }),
    ...(kms === undefined ? [] : kmsProblems(kms, `${at}.kms`, names)),
    ...KEY_KINDS.flatMap((kind) => keyProblems(entry, kind, `${at}.${kind}.keys`)),
  ]
}

function kmsProblems(entry: KmsEntry, at: string, names: Set<string>): ConfigProblem[] {
  const version = entry.apiVersion === '' ? 'v1' : entry.apiVersion
  const twice = names.has(entry.name)
  names.add(entry.name)
  const broken = KMS_RULES.filter((rule) => rule.broken(entry, version))
  return [
    ...broken.map(({ broken: _, field, ...rest }) => ({ ...rest, at: `${at}.${field}` })),
    ...found(twice, {
      id: 'encryption-name-twice',
      at: `${at}.name`,
      what: 'another kms entry of the file has the same name',
      todo: 'Give each entry a name of its own. List resources of one entry in one rule.',
      ...(version === 'v1' ? { only: 'reload' } : {}),
    }),
  ]
}

function keyProblems(
  entry: ProviderEntry,
  kind: (typeof KEY_KINDS)[number],
  at: string,
): ConfigProblem[] {
  const keys = entry[kind]?.keys
  if (keys === undefined) return []
  const sizes: readonly number[] = KEY_BYTES[kind]
  return [
    ...found(keys.length === 0, empty(at)),
    ...keys.flatMap(({ name, secret }, index) => [
      ...found(name === '', {
        id: 'encryption-key',
        at: `${at}[${index}].name`,
        what: 'it is empty',
        todo: 'Write the name of the key; it is stored with every object.',
      }),
      ...found(!sizes.includes(base64Bytes(secret) ?? 0), {
        id: 'encryption-key',
        at: `${at}[${index}].secret`,
        what: `it is not base64 of ${sizes.join(', ')} bytes`,
        todo: 'Correct the key: no other one opens what it encrypted.',
      }),
    ]),
  ]
}

function empty(at: string): ConfigProblem {
  return { id: 'encryption-empty', at, what: 'it is empty', todo: 'Write at least one.' }
}

function found(holds: boolean, problem: ConfigProblem): ConfigProblem[] {
  return holds ? [problem] : []
}
