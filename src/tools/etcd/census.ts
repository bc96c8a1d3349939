/**
 * Counts the objects of a cluster by what they are encrypted with, and by whether that is what is
 * wanted. Nothing is decrypted. Memory grows with the number of different keys and seeds, not with
 * the number of objects.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { keyIdHash } from '../../base/key_id_hash.ts'
import { neverEncrypted, type ObjectKey, readKey } from './object_key.ts'
import { readRecord, type StoredRecord, type V1Record, type V2Record } from './record.ts'
import { type Protection, Seeds } from './seeds.ts'
import type { ObjectSource, StoredObject } from './source.ts'
import { VERDICTS, type Verdict, verdictOf, type Wanted } from './verdict.ts'

export interface CensusOptions {
  /** The API server's `--etcd-prefix`, without a slash at its end. */
  readonly prefix: string
  /** What the next write would use; where it is not known, nothing is called stale. */
  readonly wanted?: Wanted | undefined
  /**
   * Resources of which every object must be encrypted, as keys name them, `*.GROUP`, or `*` for all,
   * beside `secrets` and those of which some object is.
   */
  readonly resources?: readonly string[] | undefined
  /** Called after each page with the number of objects counted so far. */
  readonly onProgress?: ((objects: number) => void) | undefined
}

/** The objects of one resource that are encrypted with the same. */
export interface CensusRow {
  /** As {@link readKey} returns it, or `(other)`. */
  readonly resource: string
  readonly form: StoredRecord['form']
  /** The provider's name in the API server's configuration, or the cipher of a static key. */
  readonly provider: string | undefined
  /** For a static key, its name. Under KMS v1 it is known only from an envelope of Trousseau. */
  readonly keyId: string | undefined
  /** As in kube-apiserver's metrics; only for KMS v2. */
  readonly keyIdHash: string | undefined
  /** What an envelope of Trousseau says. */
  readonly protection: Protection | undefined
  /** What is wrong with these objects, if they are damaged. */
  readonly problem: string | undefined
  readonly objects: number
  /** How many calls of Decrypt these objects cost an API server that restarts. */
  readonly decrypts: number
  /** The keys of the first few objects. */
  readonly examples: readonly string[]
  readonly verdict: Verdict
}

export interface Census {
  readonly revision: bigint
  readonly objects: number
  /** Sorted by resource, then by the number of objects, largest first. */
  readonly rows: readonly CensusRow[]
  readonly totals: Readonly<Record<Verdict, number>>
  /**
   * The calls of Decrypt that a restart of one API server costs: one for each different seed, and
   * one for each object of KMS v1.
   */
  readonly decrypts: number
  /** The custom resources that are defined, with or without objects. */
  readonly defined: ReadonlySet<string>
}

const OTHER = '(other)'
const DEFINITIONS = 'customresourcedefinitions.apiextensions.k8s.io'
const EXAMPLES = 5

type Facts = Pick<
  CensusRow,
  'resource' | 'form' | 'provider' | 'keyId' | 'protection' | 'problem'
> & { readonly never: boolean }

interface Tally {
  readonly facts: Facts
  readonly seeds: Set<string>
  readonly examples: string[]
  objects: number
}

/** @throws KmsError of the source */
export async function takeCensus(source: ObjectSource, options: CensusOptions): Promise<Census> {
  const tallies = new Map<string, Tally>()
  const seeds = new Seeds()
  const defined = new Set<string>()
  let objects = 0
  for await (const page of source.pages()) {
    for (const object of page) {
      const { resource, name } = count(object, tallies, seeds, options.prefix) ?? {}
      if (resource === DEFINITIONS && name !== undefined) defined.add(name)
    }
    objects += page.length
    options.onProgress?.(objects)
  }
  return { ...censusOf([...tallies.values()], seeds, source.revision, options), defined }
}

function count(
  { key, value }: StoredObject,
  tallies: Map<string, Tally>,
  seeds: Seeds,
  prefix: string,
): ObjectKey | undefined {
  const name = Buffer.from(key.buffer, key.byteOffset, key.length).toString()
  const { digest, ...read } = factsOf(readRecord(value), seeds)
  const object = readKey(name, prefix)
  const facts: Facts = {
    ...read,
    resource: object?.resource ?? OTHER,
    never: neverEncrypted(name, prefix),
  }
  const { resource, never, form, provider, keyId, problem } = facts
  const group = JSON.stringify([resource, never, form, provider, keyId, problem])
  let tally = tallies.get(group)
  if (tally === undefined) {
    tally = { facts, seeds: new Set(), examples: [], objects: 0 }
    tallies.set(group, tally)
  }
  tally.objects += 1
  if (digest !== undefined) tally.seeds.add(digest)
  if (tally.examples.length < EXAMPLES) tally.examples.push(name)
  return object
}

type Read = Omit<Facts, 'resource' | 'never'> & { readonly digest?: string }

const NOTHING = {
  provider: undefined,
  keyId: undefined,
  protection: undefined,
  problem: undefined,
} as const

function factsOf(record: StoredRecord, seeds: Seeds): Read {
  switch (record.form) {
    case 'kms-v2':
      return v2Facts(record, seeds)
    case 'kms-v1':
      return v1Facts(record, seeds)
    case 'empty-key':
      return { ...NOTHING, form: record.form, provider: record.provider }
    case 'static-key':
      return { ...NOTHING, form: record.form, provider: record.cipher, keyId: record.keyName }
    case 'damaged':
      return { ...NOTHING, form: record.form, provider: record.provider, problem: record.problem }
    default:
      return { ...NOTHING, form: record.form }
  }
}

function v2Facts(record: V2Record, seeds: Seeds): Read {
  const { provider, keyId } = record
  const { digest, protection, problem } = seeds.of(record)
  const form = problem === undefined ? record.form : 'damaged'
  return { form, provider, keyId, protection, problem, digest }
}

function v1Facts({ form, provider, wrappedKey }: V1Record, seeds: Seeds): Read {
  const { protection, problem } = seeds.read(wrappedKey)
  const intact = problem === undefined
  return {
    form: intact ? form : 'damaged',
    provider,
    keyId: protection?.keyId,
    protection,
    problem,
  }
}

function censusOf(
  tallies: readonly Tally[],
  seeds: Seeds,
  revision: bigint,
  { wanted, resources = [] }: CensusOptions,
): Omit<Census, 'defined'> {
  const encrypted = tallies.filter(
    ({ facts }) => facts.form !== 'plaintext' && facts.form !== 'foreign',
  )
  const asked = new Set(['secrets', ...resources, ...encrypted.map(({ facts }) => facts.resource)])
  const full = wanted?.providers ?? providersUnder(wanted?.keyIds, tallies)
  const rows = tallies
    .map(({ facts: { never, ...facts }, seeds: own, objects, examples }): CensusRow => {
      const mustEncrypt = namesCover(asked, facts.resource)
      const judged = { ...facts, never, mustEncrypt }
      return {
        ...facts,
        keyIdHash: facts.form === 'kms-v2' ? keyIdHash(facts.keyId ?? '') : undefined,
        objects,
        decrypts: facts.form === 'kms-v1' ? objects : own.size,
        examples,
        verdict: verdictOf(judged, wanted?.keyIds, full),
      }
    })
    .sort((a, b) => order(a, b))
  const sum = (some: readonly CensusRow[]) => some.reduce((all, { objects }) => all + objects, 0)
  const totals = VERDICTS.map((verdict): [Verdict, number] => [
    verdict,
    sum(rows.filter((row) => row.verdict === verdict)),
  ])
  return {
    revision,
    objects: sum(rows),
    rows,
    totals: Object.fromEntries(totals) as Record<Verdict, number>,
    decrypts: seeds.size + sum(rows.filter(({ form }) => form === 'kms-v1')),
  }
}

/** @param names may contain `*.GROUP` and `*` */
export function namesCover(names: ReadonlySet<string>, resource: string): boolean {
  const dot = resource.indexOf('.')
  return (
    names.has(resource) || names.has('*') || (dot !== -1 && names.has(`*${resource.slice(dot)}`))
  )
}

/**
 * How many providers write when all are healthy, if anything was written under the wanted key id.
 */
function providersUnder(
  keyIds: ReadonlySet<string> | undefined,
  tallies: readonly Tally[],
): number | undefined {
  const members = tallies.flatMap(({ facts: { protection } }) =>
    protection !== undefined && keyIds?.has(protection.keyId) === true
      ? protection.members.length
      : [],
  )
  return members.length === 0 ? undefined : Math.min(...members)
}

function order(a: CensusRow, b: CensusRow): number {
  if (a.resource !== b.resource) return a.resource < b.resource ? -1 : 1
  return b.objects - a.objects
}
