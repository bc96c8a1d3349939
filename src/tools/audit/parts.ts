/** What is found in audit files: parts, each from a begin to its head, and what is wrong with them. @module */

import type { After, HeadReason } from '../../observe/audit/lines.ts'

export interface Place {
  readonly file: string
  readonly line: number
}

/** Something that was changed, removed, put in or forged. */
export interface Problem extends Place {
  readonly what: string
}

/** A part of the chain: all that one process wrote into one file. */
export interface Part {
  /** Of its first line. */
  readonly place: Place
  /** Undefined where its first line does not say how it begins. */
  readonly begin:
    | {
        readonly run: string
        readonly node: string
        readonly after: After
        readonly prev: string | null
      }
    | undefined
  readonly from: number
  /** Hash of its first line. */
  readonly first: string
  /** In the same file, where it goes on from that. */
  readonly within: Part | undefined
  last: { seq: number; hash: string; line: number; time: string }
  records: number
  lost: number
  /** `torn`: in the middle of a line; `broken`: nothing is proven from there on; undefined where it just ends. */
  end: HeadReason | 'torn' | 'broken' | undefined
  /** Of its head. */
  signed: 'valid' | 'unchecked' | 'unsigned' | undefined
  /** Why there is no signature where there should be one. */
  unsigned: string | undefined
}

/** A line that another part says it goes on from. */
export interface Linked {
  readonly part: Part
  readonly seq: number
}

export interface CheckedFile {
  readonly file: string
  readonly parts: readonly Part[]
  /** What is remarkable of the file itself. */
  readonly note: Problem | undefined
  /** The first place where the chain breaks. */
  readonly problem: Problem | undefined
}
