/** What the counted objects mean, and what to do about it, in sentences. @module */

import { printable } from '../../console/output.ts'
import { counted, grouped } from '../../console/progress.ts'
import { FINDINGS } from '../etcd/verdict.ts'
import { singularOf } from '../kube/resource_names.ts'
import type { ReadCensus } from './report.ts'

type ScanFinding = (typeof FINDINGS)[number]

const SENTENCES: Readonly<Record<ScanFinding, (objects: string) => string>> = {
  'empty-key': (objects) =>
    `${objects} lost: stored with an empty key by Trousseau 1.x with a static token, and nobody can open that any more. An API server that restarts now does not get ready: first see docs/takeover.md, "Lost keys":`,
  damaged: (objects) =>
    `${objects} damaged: kube-apiserver cannot read what is stored. Restore from a backup:`,
  unknown: (objects) =>
    `${objects} encrypted in a form that this version does not know. The EncryptionConfiguration says by what:`,
  plaintext: (objects) =>
    `${objects} in the clear: whoever has etcd or a backup can read what others of the kind hide. See that the EncryptionConfiguration lists the resource, then rewrite with "trousseau migrate":`,
  degraded: (objects) =>
    `${objects} protected by fewer providers than there are. When all of them are well, rewrite with "trousseau migrate".`,
  stale: (objects) =>
    `${objects} stale: readable as long as the old key is kept. Rewrite with "trousseau migrate".`,
}
const KEYS_SHOWN = 5

export function isWell({ census: { totals }, absent }: Omit<ReadCensus, 'wanted'>): boolean {
  return FINDINGS.every((verdict) => totals[verdict] === 0) && absent.unknown.length === 0
}

/** Whether the cluster is encrypted, in one line. */
export function answerOf(read: ReadCensus): string {
  const rows = read.census.rows.filter(
    ({ verdict }) => verdict !== 'unencrypted' && verdict !== 'never-encrypted',
  )
  const all = objectsOf(rows)
  const clear = objectsOf(rows.filter(({ verdict }) => verdict === 'plaintext'))
  if (clear.size > 0) {
    const listed = [...clear].map(
      ([resource, objects]) =>
        `${grouped(objects)} of ${countedOf(resource, all.get(resource) ?? 0)}`,
    )
    const some = [...all].some(([resource, objects]) => clear.get(resource) !== objects)
    const verb = [...clear.values()].join() === '1' ? 'is' : 'are'
    return `NOT ${some ? 'all ' : ''}encrypted: in the clear ${verb} ${listed.join(', ')}.`
  }
  if (all.size === 0) return 'There are no Secrets, so nothing can be said of them.'
  const listed = [...all].map(([resource, objects]) => countedOf(resource, objects))
  const onNode = rows.filter(({ form }) => form === 'static-key')
  const keys = [...objectsOf(onNode)].map(
    ([resource, objects]) =>
      `, ${countedOf(resource, objects)} with a key that lies in a file of the node`,
  )
  const rest = isWell(read) ? '.' : '; what is wrong stands below.'
  return `Encrypted: ${listed.join(', ')}${keys.join('')}${rest}`
}

function countedOf(resource: string, objects: number): string {
  return `${grouped(objects)} ${printable(objects === 1 ? singularOf(resource) : resource)}`
}

function objectsOf(rows: ReadCensus['census']['rows']): Map<string, number> {
  const all = new Map<string, number>()
  for (const { resource, objects } of rows) all.set(resource, (all.get(resource) ?? 0) + objects)
  return all
}

export function adviceOf(read: ReadCensus): string[] {
  const { census, verified, wanted } = read
  const { totals, decrypts } = census
  const found = FINDINGS.filter((verdict) => totals[verdict] > 0)
  const lines = [
    ...absentLines(read.absent),
    ...found.flatMap((verdict) => findingLines(census, verdict)),
  ]
  if (isWell(read) && wanted !== undefined && totals.ok > 0) {
    lines.push(
      'Every object that is encrypted is as wanted. Snapshots and backups made before may still need old keys.',
    )
  }
  if (decrypts > 0) {
    lines.push(`A restart of an API server costs ${counted(decrypts, 'call')} of Decrypt.`)
  }
  if (wanted === undefined && totals.ok > 0) {
    lines.push(
      'Nothing is called stale: --config, --socket or --key-id would say which key id is wanted.',
    )
  }
  if (verified === false) {
    lines.push(
      'The file has no checksum: it is the database of a member, and the last changes may not be in it.',
    )
  }
  return lines
}

function absentLines({ names, unknown }: ReadCensus['absent']): string[] {
  const none = names.filter((name) => !unknown.includes(name))
  return [
    ...unknown.map(
      (name) =>
        `Nothing here is called ${printable(name)}, and no custom resource is defined by that name: wanted plural and group, such as secrets, deployments.apps or widgets.example.org.`,
    ),
    ...(none.length === 0 ? [] : [`There are no objects of ${none.map(printable).join(', ')}.`]),
  ]
}

function findingLines({ totals, rows }: ReadCensus['census'], verdict: ScanFinding): string[] {
  const total = totals[verdict]
  const sentence = SENTENCES[verdict](`${counted(total, 'object')} ${total === 1 ? 'is' : 'are'}`)
  if (!sentence.endsWith(':')) return [sentence]
  const shown = rows
    .filter((row) => row.verdict === verdict)
    .flatMap(({ examples }) => examples)
    .slice(0, KEYS_SHOWN)
  const more = total - shown.length
  return [
    sentence,
    ...shown.map((key) => `    ${printable(key)}`),
    ...(more > 0 ? [`    and ${grouped(more)} more`] : []),
  ]
}
