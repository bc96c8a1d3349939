/** `trousseau audit verify` checks the chain of audit files, and what signs it. @module */

import { realpath } from 'node:fs/promises'
import { KmsError, systemReasonOf } from '../../base/errors.ts'
import type { Io } from '../../console/io.ts'
import { EXIT, json } from '../../console/output.ts'
import { beginOf, checkFile } from './file_check.ts'
import { ordered } from './order.ts'
import type { CheckedFile, Linked, Part, Problem } from './parts.ts'
import { type Audited, auditReport } from './report.ts'
import { headKeys } from './signature.ts'

export interface AuditVerifyFlags {
  /** Public keys. */
  readonly key: readonly string[]
  readonly json: boolean
}

/** @throws KmsError `request_invalid` where a file cannot be read */
export async function verifyAudit(
  paths: readonly string[],
  flags: AuditVerifyFlags,
  io: Io,
): Promise<number> {
  const keys = await headKeys(flags.key)
  const files = await distinct(paths)
  const begins: (string | undefined)[] = []
  // One by one: there may be more files than a process may have open.
  for (const file of files) begins.push(await beginOf(file))
  const links = new Map<string, Linked>()
  const wanted = new Set(begins.flatMap((prev) => prev ?? []))
  const checked: CheckedFile[] = []
  for (const file of files) checked.push(await checkFile(file, { keys, wanted, links }))
  const audited = audit(checked, links, [...keys.keys()])
  io.out(flags.json ? json(audited) : auditReport(audited, io))
  return audited.intact ? EXIT.ok : EXIT.unhealthy
}

/** A file that is named twice is one. */
async function distinct(paths: readonly string[]): Promise<string[]> {
  const byPlace = new Map<string, string>()
  for (const path of paths) {
    const place = await realpath(path).catch((cause: unknown) => {
      const message = `Cannot read ${path}: ${systemReasonOf(cause)}`
      throw new KmsError(message, { code: 'request_invalid', cause })
    })
    if (!byPlace.has(place)) byPlace.set(place, path)
  }
  return [...byPlace.values()]
}

function audit(
  files: readonly CheckedFile[],
  links: ReadonlyMap<string, Linked>,
  keys: readonly string[],
): Audited {
  const { parts, problems, notes } = ordered(files, links)
  const heads = parts.filter(({ signed }) => signed !== undefined)
  const valid = heads.filter(({ signed }) => signed === 'valid')
  const all = [
    ...files.flatMap(({ problem }) => problem ?? []),
    ...problems,
    ...(keys.length > 0 && heads.length > 0 && valid.length === 0 ? noneSigned(heads) : []),
  ]
  return {
    intact: all.length === 0,
    records: sum(parts.map(({ records }) => records)),
    lost: sum(parts.map(({ lost }) => lost)),
    keys,
    signedTo: valid.length === 0 ? undefined : Math.max(...valid.map(({ last }) => last.seq)),
    parts: parts.map((part) => ({
      file: part.place.file,
      line: part.place.line,
      run: part.begin?.run,
      node: part.begin?.node,
      from: part.from,
      to: part.last.seq,
      until: part.last.time,
      records: part.records,
      lost: part.lost,
      end: part.end ?? 'open',
      signature: part.signed,
      unsigned: part.unsigned,
    })),
    problems: all,
    notes: [
      ...files.flatMap(({ note }) => note ?? []),
      ...notes,
      ...(keys.length > 0 ? heads.flatMap(unsignedNote) : []),
    ],
  }
}

function noneSigned([first]: readonly Part[]): Problem[] {
  if (first === undefined) return []
  return [{ ...headPlace(first), what: 'is not signed, and no other head is' }]
}

function unsignedNote(part: Part): Problem[] {
  if (part.signed !== 'unsigned') return []
  return [{ ...headPlace(part), what: `is a head without a signature: ${part.unsigned}` }]
}

function headPlace({ place, last }: Part) {
  return { file: place.file, line: last.line }
}

function sum(counts: readonly number[]): number {
  return counts.reduce((all, each) => all + each, 0)
}
