/** What `trousseau audit verify` tells people. @module */

import type { Io } from '../../console/io.ts'
import { paint, printable, table } from '../../console/output.ts'
import type { Place, Problem } from './parts.ts'

/** What `--json` prints. */
export interface Audited {
  /** Whether nothing was changed, removed, put in or forged, as far as that can be seen. */
  readonly intact: boolean
  readonly records: number
  /** Records that the plugin says it could not write. */
  readonly lost: number
  /** Fingerprints of the keys that signatures were checked with. */
  readonly keys: readonly string[]
  /** Up to this line good signatures vouch for the chain. */
  readonly signedTo: number | undefined
  /** In the order of the chain. */
  readonly parts: readonly AuditedPart[]
  readonly problems: readonly Problem[]
  readonly notes: readonly Problem[]
}

interface AuditedPart extends Place {
  readonly run: string | undefined
  readonly node: string | undefined
  readonly from: number
  readonly to: number
  /** When the last line was written. */
  readonly until: string
  readonly records: number
  readonly lost: number
  readonly end: 'rotated' | 'closed' | 'torn' | 'broken' | 'open'
  readonly signature: 'valid' | 'unchecked' | 'unsigned' | undefined
  /** Why there is none. */
  readonly unsigned: string | undefined
}

const HEADS = ['SEQ', 'RECORDS', 'LOST', 'END', 'SIGNATURE', 'UNTIL', 'FILE']

export function auditReport(audited: Audited, io: Io): string {
  const { parts, problems, notes } = audited
  const rows = parts.map(({ from, to, records, lost, end, signature = '-', until, file }) =>
    [`${from}-${to}`, `${records}`, `${lost}`, end, signature, until, file].map(printable),
  )
  const lines = [
    ...table([HEADS, ...rows]).map((cells) => cells.join('  ').trimEnd()),
    '',
    ...notes.map((each) => `note: ${placed(each)}`),
    ...problems.map((each) => paint(io, 'red', `BROKEN: ${placed(each)}`)),
    verdict(audited, io),
    signatures(audited),
  ]
  return `${lines.join('\n')}\n`
}

function placed({ file, line, what }: Problem): string {
  return printable(`${file}:${line}: ${what}`)
}

function verdict({ intact, records, lost, problems }: Audited, io: Io): string {
  if (!intact) {
    const count = problems.length === 1 ? 'in 1 place' : `in ${problems.length} places`
    return paint(io, 'red', `The chain is broken ${count}`)
  }
  const losses = lost === 0 ? '' : `; the plugin could not write ${lost} more`
  return paint(io, 'green', `The chain is whole: ${records} records${losses}`)
}

function signatures({ keys, signedTo, parts }: Audited): string {
  if (keys.length === 0) {
    const signed = parts.some(({ signature }) => signature === 'unchecked')
    return signed
      ? 'Signatures were not checked: name the public key of the node with --key'
      : 'Nothing is signed: whoever can write the files can have made all of it'
  }
  if (signedTo === undefined) return 'No signature vouches for any of it'
  const last = Math.max(...parts.map(({ to }) => to))
  const behind = last === signedTo ? 'which is all' : `and for nothing after that, up to ${last}`
  return `Signatures vouch for it up to seq ${signedTo}, ${behind}`
}
