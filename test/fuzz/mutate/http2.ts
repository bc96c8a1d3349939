/** Changes HTTP/2 frame by frame, so that most of what follows a change is still read as frames. @module */

import { Buffer } from 'node:buffer'
import type { SeededRandom } from '../../_lib/seeded_random.ts'
import { mutateBytes } from './bytes.ts'
import { MAX_INPUT_BYTES, type Mutator, oneOf } from './mutator.ts'

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Uint8Array
  /** What the header says where that is not the payload's length. */
  readonly length?: number
}

const HEADER = 9
/** Up to PRIORITY_UPDATE, and some that nobody has given a meaning. */
const TYPES = [...Array.from({ length: 17 }, (_, at) => at), 0xfa, 0xff]
const FLAGS = [0, 1, 4, 5, 8, 0x20, 0x24, 0x2d, 0xff]
const STREAMS = [0, 1, 2, 3, 5, 7, 99, 0x7fffffff, 0xffffffff]
const LENGTHS = [0, 1, 4, 5, 16_384, 16_385, 0xffffff]
const MOST_COPIES = 300

export const mutateFrames: Mutator = (input, other, random) => {
  const frames = framesIn(input)
  if (frames.length === 0 || random.below(40) === 0) return mutateBytes(input, other, random)
  for (let left = 1 + random.below(4); left > 0 && frames.length > 0; left -= 1) {
    oneOf(random, CHANGES)(frames, framesIn(other), random)
  }
  return encodedFrames(frames).subarray(0, MAX_INPUT_BYTES)
}

type Change = (frames: Frame[], more: readonly Frame[], random: SeededRandom) => void

const CHANGES: readonly (readonly [number, Change])[] = [
  [6, bent((frame, random) => ({ payload: mutateBytes(frame.payload, frame.payload, random) }))],
  [2, bent((_frame, random) => ({ type: random.pick(TYPES) }))],
  [2, bent((_frame, random) => ({ flags: random.pick(FLAGS) }))],
  [2, bent((_frame, random) => ({ stream: random.pick(STREAMS) }))],
  [1, bent((_frame, random) => ({ length: random.pick(LENGTHS) }))],
  [2, (frames, _more, random) => frames.splice(random.below(frames.length), 1)],
  [2, (frames, _more, random) => put(frames, random.pick(frames), random)],
  [2, (frames, more, random) => more.length > 0 && put(frames, random.pick(more), random)],
  [1, again],
]

function bent(part: (frame: Frame, random: SeededRandom) => Partial<Frame>): Change {
  return (frames, _more, random) => {
    const at = random.below(frames.length)
    const frame = frames[at]
    if (frame !== undefined) frames[at] = { ...frame, ...part(frame, random) }
  }
}

function put(frames: Frame[], frame: Frame, random: SeededRandom): void {
  frames.splice(random.below(frames.length + 1), 0, frame)
}

/** The same many times, and now and then on a stream of its own each. */
function again(frames: Frame[], _more: readonly Frame[], random: SeededRandom): void {
  if (random.below(20) > 0) return
  const frame = random.pick(frames)
  const step = random.pick([0, 2])
  const copies = Array.from({ length: random.below(MOST_COPIES) }, (_, at) => ({
    ...frame,
    stream: frame.stream + step * at,
  }))
  frames.push(...copies)
}

function framesIn(input: Uint8Array): Frame[] {
  const bytes = Buffer.from(input)
  const frames: Frame[] = []
  for (let at = 0; at + HEADER <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3)
    const payload = bytes.subarray(at + HEADER, at + HEADER + length)
    const [type, flags] = [bytes.readUInt8(at + 3), bytes.readUInt8(at + 4)]
    frames.push({ type, flags, stream: bytes.readUInt32BE(at + 5), payload })
    at += HEADER + length
  }
  return frames
}

export function encodedFrames(frames: readonly Frame[]): Buffer {
  return Buffer.concat(
    frames.flatMap(({ type, flags, stream, payload, length = payload.length }) => {
      const head = Buffer.alloc(HEADER)
      head.writeUIntBE(Math.min(length, 0xffffff), 0, 3)
      head.writeUInt8(type, 3)
      head.writeUInt8(flags, 4)
      head.writeUInt32BE(stream % 2 ** 32, 5)
      return [head, payload]
    }),
  )
}

/** Headers, each as a literal that is not kept (RFC 7541, section 6.2.2). */
export function headerList(list: Readonly<Record<string, string>>): Buffer {
  return Buffer.concat(
    Object.entries(list).flatMap(([name, value]) => [
      ...[Buffer.of(0, name.length), Buffer.from(name)],
      ...[Buffer.of(Buffer.byteLength(value)), Buffer.from(value)],
    ]),
  )
}
