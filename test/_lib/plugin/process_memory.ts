/**
 * What a core dump of a process would hold, without stopping it: every page that it can read, by
 * /proc/PID/mem. The kernel lets the parent of a process and root do so.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'

const PART_BYTES = 4 * 1_048_576
/** Pages of the kernel in every process, which cannot be read so. */
const KERNELS_OWN = /\[v(?:var|syscall|var_vclock)\]/

/** How often each of the texts or bytes is found, by its name. */
export function findInMemory(
  pid: number,
  wanted: Readonly<Record<string, Uint8Array>>,
): Record<string, number> {
  const found = Object.fromEntries(Object.keys(wanted).map((name) => [name, 0]))
  const longest = Math.max(...Object.values(wanted).map(({ length }) => length))
  for (const bytes of partsOf(pid, longest - 1)) {
    for (const [name, needle] of Object.entries(wanted)) {
      found[name] = (found[name] ?? 0) + occurrences(bytes, needle)
    }
  }
  return found
}

/** Parts of what is readable; each begins with so many bytes of the end of the one before. */
function* partsOf(pid: number, overlap: number): Generator<Buffer> {
  const memory = openSync(`/proc/${pid}/mem`, 'r')
  const part = Buffer.alloc(PART_BYTES + overlap)
  try {
    for (const { from, to } of regionsOf(pid)) {
      let kept = 0
      for (let at = from; at < to; at += PART_BYTES) {
        const into = part.subarray(kept, kept + Math.min(PART_BYTES, to - at))
        const end = kept + readAt(memory, into, at)
        yield part.subarray(0, end)
        kept = Math.min(overlap, end)
        part.copy(part, 0, end - kept, end)
      }
    }
  } finally {
    closeSync(memory)
  }
}

function regionsOf(pid: number): { readonly from: number; readonly to: number }[] {
  const lines = readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')
  return lines.flatMap((line) => {
    const [, from = '', to = '', rights = ''] = /^([0-9a-f]+)-([0-9a-f]+) (\S+)/.exec(line) ?? []
    if (!rights.startsWith('r') || KERNELS_OWN.test(line)) return []
    return [{ from: Number.parseInt(from, 16), to: Number.parseInt(to, 16) }]
  })
}

/** Nothing where pages went away meanwhile. */
function readAt(memory: number, into: Buffer, at: number): number {
  try {
    return readSync(memory, into, 0, into.length, at)
  } catch {
    return 0
  }
}

function occurrences(bytes: Buffer, needle: Uint8Array): number {
  let count = 0
  for (let at = bytes.indexOf(needle); at !== -1; at = bytes.indexOf(needle, at + 1)) count += 1
  return count
}
