/** What an ELF file asks of the libraries of a node. @module */

import type { Buffer } from 'node:buffer'

/** Numbers of `elf.h`. */
const LOAD = 1
const DYNAMIC = 2
const TAG = { end: 0, needed: 1, strings: 5, versions: 0x6ffffffe, versionCount: 0x6fffffff }

interface Segment {
  readonly type: number
  readonly offset: number
  readonly address: number
  readonly size: number
}

/** A library, and the versions of its symbols that are used. */
interface Need {
  readonly library: string
  readonly versions: readonly string[]
}

/** @param file a 64-bit little-endian ELF file, which may be without sections */
export function needsOf(file: Buffer): Need[] {
  const segments = segmentsOf(file)
  const tags = tagsOf(file, segments)
  const at = (tag: number) => placeOf(segments, tags.find(([each]) => each === tag)?.[1] ?? 0)
  const text = (offset: number) => textAt(file, at(TAG.strings) + offset)
  const count = tags.find(([tag]) => tag === TAG.versionCount)?.[1] ?? 0
  const versions = new Map<string, string[]>()
  let entry = at(TAG.versions)
  for (let index = 0; index < count; index += 1) {
    const names: string[] = []
    let name = entry + file.readUInt32LE(entry + 8)
    for (let each = 0; each < file.readUInt16LE(entry + 2); each += 1) {
      names.push(text(file.readUInt32LE(name + 8)))
      name += file.readUInt32LE(name + 12)
    }
    versions.set(text(file.readUInt32LE(entry + 4)), names)
    entry += file.readUInt32LE(entry + 12)
  }
  return tags
    .filter(([tag]) => tag === TAG.needed)
    .map(([, offset]) => text(offset))
    .map((library) => ({ library, versions: versions.get(library) ?? [] }))
}

function segmentsOf(file: Buffer): Segment[] {
  const [first, size] = [number(file, 32), file.readUInt16LE(54)]
  return Array.from({ length: file.readUInt16LE(56) }, (_, index) => {
    const at = first + index * size
    return {
      type: file.readUInt32LE(at),
      offset: number(file, at + 8),
      address: number(file, at + 16),
      size: number(file, at + 32),
    }
  })
}

function tagsOf(file: Buffer, segments: readonly Segment[]): [tag: number, value: number][] {
  const dynamic = segments.find(({ type }) => type === DYNAMIC)
  if (dynamic === undefined) throw new Error('Nothing is loaded with it')
  const tags = Array.from({ length: dynamic.size / 16 }, (_, index) => {
    const at = dynamic.offset + index * 16
    return [number(file, at), number(file, at + 8)] as [number, number]
  })
  return tags.slice(
    0,
    tags.findIndex(([tag]) => tag === TAG.end),
  )
}

/** Where in the file is what is loaded at the address. */
function placeOf(segments: readonly Segment[], address: number): number {
  const found = segments.find(
    ({ type, address: start, size }) => type === LOAD && address >= start && address < start + size,
  )
  if (found === undefined) throw new Error(`Nothing is loaded at ${address}`)
  return found.offset + address - found.address
}

function number(file: Buffer, at: number): number {
  return Number(file.readBigUInt64LE(at))
}

function textAt(file: Buffer, at: number): string {
  return file.toString('utf8', at, file.indexOf(0, at))
}
