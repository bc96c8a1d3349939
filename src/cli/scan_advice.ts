/** What a census means, and what to do about it, in sentences. @module */

import type { CensusRow } from '../etcd/census.ts'
import { FINDINGS, type Verdict } from '../etcd/verdict.ts'
import { printable } from './output.ts'
import { grouped } from './progress.ts'
import type { ReadCensus } from './scan_report.ts'

type Finding = (typeof FINDINGS)[number]

const SENTENCES: Readonly<Record<Finding, (objects: string) => string>> = {
  'empty-key': (objects) =>
    `${objects} stored with an empty key, and nobody can open that any more (a known fault of Trousseau 1.x with a static token). Delete them and make them anew`,
  damaged: (objects) =>
    `${objects} damaged, and kube-apiserver cannot read that. Restore from a backup`,
  unknown: (objects) =>
    `${objects} encrypted in a form that this version does not know. See the EncryptionConfiguration`,
  plaintext: (objects) =>
    `${objects} in the clear, though others of the kind are encrypted or ought to be: whoever has etcd or a backup reads them. See that the EncryptionConfiguration lists the resource, then rewrite them: trousseau migrate`,
  degraded: (objects) =>
    `${objects} protected by fewer providers than there are. When all of them are well, rewrite them: trousseau migrate`,
  stale: (objects) =>
    `${objects} stale, which is readable as long as the old key is kept. Rewrite them: trousseau migrate`,
}
const NAMED: readonly Verdict[] = ['empty-key', 'damaged', 'unknown', 'plaintext']
const EXAMPLES = 5

export function adviceOf({ census, verified, wanted }: ReadCensus): string[] {
  const { totals, rows } = census
  const findings = FINDINGS.filter((verdict) => totals[verdict] > 0).map((verdict) => {
    const objects =
      totals[verdict] === 1 ? '1 object is' : `${grouped(totals[verdict])} objects are`
    const named = NAMED.includes(verdict) ? exampleText(rows, verdict) : ''
    return `${SENTENCES[verdict](objects)}${named}.`
  })
  const good =
    findings.length === 0 && wanted !== undefined
      ? [
          'Every object that is encrypted is as wanted. Old snapshots and backups need their old keys still.',
        ]
      : []
  const unasked =
    wanted === undefined && totals.ok > 0
      ? [
          'Nothing is called stale: --config, --socket or --key-id would say which key id is wanted.',
        ]
      : []
  const unchecked =
    verified === false
      ? [
          'The file has no checksum: it is the database of a member, and the last changes may not be in it.',
        ]
      : []
  return [...findings, ...good, costText(census), ...unasked, ...unchecked]
}

function costText({ decrypts }: ReadCensus['census']): string {
  const calls = decrypts === 1 ? '1 Decrypt' : `${grouped(decrypts)} Decrypts`
  return `A restart of an API server costs ${calls}.`
}

function exampleText(rows: readonly CensusRow[], verdict: Verdict): string {
  const keys = rows.filter((row) => row.verdict === verdict).flatMap(({ examples }) => examples)
  const shown = keys.slice(0, EXAMPLES).map((key) => `\n    ${printable(key)}`)
  return `, such as:${shown.join('')}`
}
