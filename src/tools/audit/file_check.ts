/** Checks the chain inside one audit file, line by line. @module */

import { hash } from 'node:crypto'
import * as v from 'valibot'
import { type AuditLine, auditLine, type HeadLine } from '../../observe/audit/lines.ts'
import { type FileLine, linesOf } from './file_lines.ts'
import type { CheckedFile, Linked, Part, Problem } from './parts.ts'
import { type HeadKeys, signatureProblem } from './signature.ts'

/** A stream of standard output may have one for each start; more are no audit file. */
const MAX_PARTS = 10_000
const NOT_OURS = 'is no line of the audit stream'

interface CheckOptions {
  /** Empty where signatures are not checked. */
  readonly keys: HeadKeys
  /** Hashes of lines that files say they go on from. */
  readonly wanted: ReadonlySet<string>
  /** Where those are found. */
  readonly links: Map<string, Linked>
}

/** The hash of the line that a file goes on from; undefined where it does not say. */
export async function beginOf(path: string): Promise<string | undefined> {
  for await (const line of linesOf(path)) {
    const parsed = line.kind === 'whole' ? parsedOf(line)?.line : undefined
    return parsed?.event === 'begin' && parsed.prev !== null ? parsed.prev : undefined
  }
  return undefined
}

export async function checkFile(file: string, options: CheckOptions): Promise<CheckedFile> {
  const check = new FileCheck(file, options)
  for await (const line of linesOf(file)) await check.take(line)
  return check.result()
}

class FileCheck {
  readonly #file: string
  readonly #options: CheckOptions
  readonly #parts: Part[] = []
  #problem: Problem | undefined

  constructor(file: string, options: CheckOptions) {
    this.#file = file
    this.#options = options
  }

  result(): CheckedFile {
    const isEmpty = this.#parts.length === 0 && this.#problem === undefined
    const what = 'holds no whole line: its process was killed at once, or it was cut off'
    const note = isEmpty ? { file: this.#file, line: 1, what } : undefined
    return { file: this.#file, parts: this.#parts, note, problem: this.#problem }
  }

  async take(line: FileLine): Promise<void> {
    if (line.kind !== 'whole') return this.#takePart(line)
    const own = hash('sha256', line.bytes, 'hex')
    const parsed = parsedOf(line)
    // Behind a break nothing is proven; what goes on from there is found all the same.
    if (this.#problem === undefined) await this.#check(line.number, own, parsed)
    const part = this.#parts.at(-1)
    if (part !== undefined && this.#options.wanted.has(own)) {
      this.#options.links.set(own, { part, seq: parsed?.line.seq ?? part.last.seq })
    }
  }

  #takePart({ kind, number }: FileLine): void {
    const part = this.#parts.at(-1)
    if (kind === 'too_long') this.#fail(number, 'is longer than any line of the audit stream')
    else if (part !== undefined && part.end === undefined) part.end = 'torn'
    else if (part !== undefined) this.#fail(number, 'stands behind a head, and is not whole')
  }

  async #check(number: number, own: string, parsed: Parsed | undefined): Promise<void> {
    if (parsed === undefined) return this.#fail(number, NOT_OURS)
    const { line } = parsed
    const before = this.#parts.at(-1)
    const problem =
      line.event === 'begin' ? this.#beginProblem(line, before) : followProblem(line, before)
    if (problem !== undefined) return this.#fail(number + (problem.up ? -1 : 0), problem.what)
    if (line.event === 'begin') this.#parts.push(newPart(this.#file, number, own, line, before))
    const part = this.#parts.at(-1)
    if (part !== undefined) await this.#add(number, own, parsed, part)
  }

  async #add(number: number, own: string, parsed: Parsed, part: Part): Promise<void> {
    const { line } = parsed
    part.last = { seq: line.seq, hash: own, line: number, time: line.time }
    if (line.event === 'request') part.records += 1
    if (line.event !== 'begin') part.lost += line.lost ?? 0
    if (line.event !== 'head') return
    part.end = line.why
    const problem = headProblem(line, part)
    if (problem === undefined) await this.#checkSignature(number, parsed, line, part)
    else this.#fail(number, problem)
  }

  /** In a file there is one begin; where standard output was kept there is one for each start. */
  #beginProblem(line: BeginLine, before: Part | undefined): Break | undefined {
    if (before === undefined) return undefined
    if (this.#parts.length >= MAX_PARTS) return { what: 'begins one part too many' }
    if (line.prev === null && line.after === 'unknown') return undefined
    return linkProblem(line, before)
  }

  async #checkSignature(
    number: number,
    { raw }: Parsed,
    head: HeadLine,
    part: Part,
  ): Promise<void> {
    const { keys } = this.#options
    part.signed = head.signature === undefined ? 'unsigned' : 'unchecked'
    part.unsigned = head.unsigned
    if (head.signature === undefined || keys.size === 0) return
    const problem = await signatureProblem(raw, head, keys)
    if (problem === undefined) part.signed = 'valid'
    else this.#fail(number, problem)
  }

  #fail(line: number, what: string): void {
    this.#problem ??= { file: this.#file, line, what }
    const part = this.#parts.at(-1)
    if (part !== undefined) part.end ??= 'broken'
  }
}

function newPart(file: string, line: number, own: string, first: AuditLine, before?: Part): Part {
  const begin = first.event === 'begin' ? first : undefined
  return {
    place: { file, line },
    begin,
    from: first.seq,
    first: own,
    within: begin?.prev === before?.last.hash ? before : undefined,
    last: { seq: first.seq, hash: own, line, time: first.time },
    records: 0,
    lost: 0,
    end: undefined,
    signed: undefined,
    unsigned: undefined,
  }
}

function headProblem({ run, records }: HeadLine, part: Part): string | undefined {
  if (run !== part.begin?.run) return 'is the head of another run of the plugin'
  if (records === part.records) return undefined
  return `says that there are ${records} records, and there are ${part.records}`
}

interface Break {
  readonly what: string
  /** It is the line before that is wrong. */
  readonly up?: boolean
}

type BeginLine = Extract<AuditLine, { event: 'begin' }>

function followProblem(line: AuditLine, before: Part | undefined): Break | undefined {
  if (before === undefined) {
    return { what: 'is not the begin of a part: lines before it were removed' }
  }
  if (before.end !== undefined) return { what: 'stands behind the head that ends its part' }
  return linkProblem(line, before)
}

function linkProblem({ seq, prev }: AuditLine, { last }: Part): Break | undefined {
  const expected = last.seq + 1
  if (seq !== expected) {
    const why = seq > expected ? 'lines before it were removed' : 'it was put in, or moved'
    return { what: `has seq ${seq}, expected ${expected}: ${why}` }
  }
  if (prev === last.hash) return undefined
  const what = `was changed: its hash is ${last.hash}, and the line after it expects ${prev}`
  return { what, up: true }
}

interface Parsed {
  readonly line: AuditLine
  /** As it was parsed, in its own order. */
  readonly raw: object
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Undefined for what this plugin would not have written byte for byte. */
function parsedOf({ bytes }: FileLine): Parsed | undefined {
  try {
    const text = UTF8.decode(bytes)
    const raw: unknown = JSON.parse(text)
    if (typeof raw !== 'object' || raw === null || JSON.stringify(raw) !== text) return undefined
    const { success, output } = v.safeParse(auditLine, raw)
    return success ? { line: output, raw } : undefined
  } catch {
    return undefined
  }
}
