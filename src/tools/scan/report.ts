/**
 * Reports the counted objects for people and for scripts. It shows the names of keys, and nothing
 * of their values.
 *
 * @module
 */

import type { Io } from '../../console/io.ts'
import { type Color, paint, printable, table } from '../../console/output.ts'
import { counted, grouped } from '../../console/progress.ts'
import type { Census, CensusRow } from '../etcd/census.ts'
import type { Verdict, Wanted } from '../etcd/verdict.ts'
import { adviceOf, answerOf, isWell } from './advice.ts'

/** Resources that were asked about, but have no object. */
export interface Absent {
  readonly names: readonly string[]
  /** Those that are neither built-in nor custom resources. */
  readonly unknown: readonly string[]
}

export interface ReadCensus {
  readonly census: Census
  /** The name of the storage that was read. */
  readonly name: string
  /** For a file, whether its checksum exists and is right. */
  readonly verified: boolean | undefined
  readonly wanted: Wanted | undefined
  readonly absent: Absent
}

const COLORS: Readonly<Partial<Record<Verdict, Color>>> = {
  ok: 'green',
  stale: 'yellow',
  degraded: 'yellow',
  plaintext: 'red',
  'empty-key': 'red',
  damaged: 'red',
  unknown: 'red',
}
/** These verdicts are summed up, since a line for each would hide the others. */
const PLAIN: readonly Verdict[] = ['unencrypted', 'never-encrypted']
const PLAIN_SHOWN = 8

export function censusJson(read: ReadCensus) {
  const { census, name, verified, wanted, absent } = read
  const { revision, objects, decrypts, totals, rows } = census
  return {
    source: name,
    checksum: verified,
    revision: String(revision),
    objects,
    decrypts,
    wanted: wanted === undefined ? undefined : [...wanted.keyIds],
    ok: isWell(read),
    answer: answerOf(read),
    absent: absent.names,
    unknown: absent.unknown,
    totals,
    rows,
  }
}

export function readableCensus(read: ReadCensus, io: Io): string {
  const { census, name } = read
  const of = `${printable(name)}, revision ${census.revision}: ${counted(census.objects, 'object')}`
  const blocks = [
    [answerOf(read), of],
    rowLines(read, io),
    keyLines(read),
    plainLines(census.rows),
    adviceOf(read),
  ]
  return blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => `${lines.join('\n')}\n`)
    .join('\n')
}

function rowLines(read: ReadCensus, io: Io): string[] {
  const rows = read.census.rows.filter(({ verdict }) => !PLAIN.includes(verdict))
  if (rows.length === 0) return []
  const keys = keyIdsOf(read)
  const cells = rows.map((row) => [
    row.verdict,
    printable(row.resource),
    grouped(row.objects).padStart(9),
    (row.decrypts === 0 ? '' : grouped(row.decrypts)).padStart(8),
    encryptedWith(row, keys),
  ])
  const [head = [], ...lines] = table([
    ['', 'resource', '  objects', 'decrypts', 'encrypted with'],
    ...cells,
  ])
  return [
    paint(io, 'dim', head.join('  ')),
    ...lines.map(([verdict = '', ...rest], at) => {
      const color = COLORS[rows[at]?.verdict ?? 'ok'] ?? 'dim'
      return [paint(io, color, verdict), ...rest].join('  ')
    }),
  ]
}

function encryptedWith(row: CensusRow, keys: readonly string[]): string {
  const { form, keyId, problem } = row
  const provider = printable(row.provider ?? '')
  const key = keyId === undefined ? '' : `, key id ${keys.indexOf(keyId) + 1}`
  switch (form) {
    case 'kms-v2':
      return `KMS v2, ${provider}${key}`
    case 'kms-v1':
      return `KMS v1, ${provider}${key}`
    case 'empty-key':
      return `KMS v1, ${provider}, and no key`
    case 'static-key':
      return `${provider}, key ${printable(keyId ?? '')} of the EncryptionConfiguration`
    case 'damaged':
      return `${provider}: ${problem ?? ''}`
    case 'plaintext':
      return 'nothing'
    default:
      return 'something that is not known here'
  }
}

/** Each key id once: the wanted ones first, then those with the most objects. */
function keyIdsOf({ census: { rows }, wanted }: ReadCensus): string[] {
  const objects = new Map<string, number>()
  for (const { form, keyId, objects: count } of rows) {
    if (keyId === undefined || form === 'static-key') continue
    objects.set(keyId, (objects.get(keyId) ?? 0) + count)
  }
  const rank = (keyId: string) => (wanted?.keyIds.has(keyId) === true ? 0 : 1)
  return [...objects].sort(([a, n], [b, m]) => rank(a) - rank(b) || m - n).map(([keyId]) => keyId)
}

function keyLines(read: ReadCensus): string[] {
  const { rows } = read.census
  return keyIdsOf(read).flatMap((keyId, at) => {
    const row = rows.find((each) => each.keyId === keyId && each.form !== 'static-key')
    const hash = rows.find((each) => each.keyId === keyId)?.keyIdHash
    const mark = read.wanted?.keyIds.has(keyId) === true ? '  (wanted)' : ''
    const indent = '          '
    return [
      `key id ${at + 1}${' '.repeat(Math.max(3 - String(at + 1).length, 1))}${printable(keyId)}${mark}`,
      ...(hash === undefined ? [] : [`${indent}${hash} in kube-apiserver's metrics`]),
      ...(row?.protection === undefined ? [] : [`${indent}${protectionText(row.protection)}`]),
    ]
  })
}

function protectionText({ scheme, k, members }: NonNullable<CensusRow['protection']>): string {
  const listed = members.map(
    ({ providerId, version }) => `${printable(providerId)} version ${printable(version)}`,
  )
  const needed =
    members.length === 1 ? '' : `${scheme === 'any' ? 'any' : k} of ${members.length}: `
  return `opened by ${needed}${listed.join(', ')}`
}

function plainLines(rows: readonly CensusRow[]): string[] {
  const plain = rows
    .filter(({ verdict }) => verdict === 'unencrypted')
    .toSorted((a, b) => b.objects - a.objects)
  if (plain.length === 0) return []
  const shown = plain
    .slice(0, PLAIN_SHOWN)
    .map(({ resource, objects }) => `${printable(resource)} ${grouped(objects)}`)
  const more = plain.length - shown.length
  const rest = more > 0 ? `, and ${more} more` : ''
  return [`Not encrypted, as all of their kind: ${shown.join(', ')}${rest}.`]
}
