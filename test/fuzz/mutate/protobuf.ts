/** Changes protobuf field by field, so that lengths stay right where they are not what is changed. @module */

import { Buffer } from 'node:buffer'
import type { SeededRandom } from '../../_lib/seeded_random.ts'
import { mutateBytes } from './bytes.ts'
import { type Mutator, oneOf } from './mutator.ts'

const [VARINT, FIXED64, BYTES, FIXED32] = [0, 1, 2, 5]
const SIZES: Readonly<Record<number, number>> = { [FIXED64]: 8, [FIXED32]: 4 }
const NUMBERS = [
  0n,
  1n,
  127n,
  128n,
  65_535n,
  2n ** 31n,
  2n ** 32n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
]

interface Field {
  readonly tag: bigint
  readonly value: bigint | Buffer
}

export const mutateProtobuf: Mutator = (input, other, random) => {
  const fields = random.below(4) === 0 ? undefined : fieldsOf(Buffer.from(input))
  if (fields === undefined || fields.length === 0) return mutateBytes(input, other, random)
  const more = fieldsOf(Buffer.from(other)) ?? []
  for (let left = 1 + random.below(3); left > 0 && fields.length > 0; left -= 1) {
    oneOf(random, WAYS)(fields, more, random)
  }
  return encoded(fields)
}

type Way = (fields: Field[], more: readonly Field[], random: SeededRandom) => void

const WAYS: readonly (readonly [number, Way])[] = [
  [5, bend],
  [1, (fields, _more, random) => fields.splice(random.below(fields.length), 1)],
  [1, (fields, _more, random) => fields.push(random.pick(fields))],
  [1, (fields, _more, random) => fields.unshift(random.pick(fields))],
  [1, (fields, more, random) => more.length > 0 && fields.push(random.pick(more))],
  [1, retag],
]

/** Another value, or a change inside a field that is a message itself. */
function bend(fields: Field[], _more: readonly Field[], random: SeededRandom): void {
  const at = random.below(fields.length)
  const field = fields[at]
  if (field === undefined) return
  const { tag, value } = field
  if (typeof value === 'bigint') fields[at] = { tag, value: random.pick(NUMBERS) }
  else fields[at] = { tag, value: Buffer.from(mutateProtobuf(value, value, random)) }
}

function retag(fields: Field[], _more: readonly Field[], random: SeededRandom): void {
  const at = random.below(fields.length)
  const field = fields[at]
  if (field !== undefined)
    fields[at] = { ...field, tag: BigInt(random.below(64) * 8) + (field.tag & 7n) }
}

function fieldsOf(bytes: Buffer): Field[] | undefined {
  const fields: Field[] = []
  for (let at = 0; at < bytes.length; ) {
    const tag = varintAt(bytes, at)
    const read = tag === undefined ? undefined : valueAt(bytes, tag.end, Number(tag.value & 7n))
    if (tag === undefined || read === undefined) return undefined
    fields.push({ tag: tag.value, value: read.value })
    at = read.end
  }
  return fields
}

function valueAt(bytes: Buffer, at: number, kind: number) {
  if (kind === VARINT) return varintAt(bytes, at)
  const length =
    kind === BYTES ? varintAt(bytes, at) : { value: BigInt(SIZES[kind] ?? -1), end: at }
  if (length === undefined || length.value < 0n) return undefined
  const end = length.end + Number(length.value)
  return end > bytes.length ? undefined : { value: bytes.subarray(length.end, end), end }
}

function varintAt(bytes: Buffer, start: number): { value: bigint; end: number } | undefined {
  let value = 0n
  for (let at = start; at < bytes.length && at < start + 10; at += 1) {
    const byte = bytes[at] ?? 0
    value |= BigInt(byte & 0x7f) << BigInt(7 * (at - start))
    if (byte < 0x80) return { value, end: at + 1 }
  }
  return undefined
}

function encoded(fields: readonly Field[]): Buffer {
  return Buffer.concat(
    fields.flatMap(({ tag, value }) => {
      if (typeof value === 'bigint') return [varint(tag), varint(value)]
      const isBytes = (tag & 7n) === BigInt(BYTES)
      return isBytes ? [varint(tag), varint(BigInt(value.length)), value] : [varint(tag), value]
    }),
  )
}

function varint(value: bigint): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
  return Buffer.from([...bytes, Number(rest)])
}
