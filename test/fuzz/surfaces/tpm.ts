/** What a TPM answers while a login key is looked at, signs or is made. */

import { Buffer } from 'node:buffer'
import { readFile, writeFile } from 'node:fs/promises'
import { withinLimit } from '../../../src/base/call.ts'
import type { Call } from '../../../src/base/provider.ts'
import { tpmAssertionKey } from '../../../src/remote/tpm/assertion_key.ts'
import { lookAtLoginKey } from '../../../src/remote/tpm/look.ts'
import { makeTpmKey } from '../../../src/remote/tpm/make.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { DrivenClock } from '../engine/driven_clock.ts'
import { DEVICE, PlayedTpm, type TpmAnswer } from '../engine/played_tpm.ts'
import { mutateBytes } from '../mutate/bytes.ts'
import { MAX_INPUT_BYTES, type Mutator, oneOf } from '../mutate/mutator.ts'
import type { Surface, Target } from '../surface.ts'

const VECTOR = new URL('../../vectors/tpm_answers.json', import.meta.url)
const LIMIT_MS = 2_500
/** Of an answer in an input: the code of its command, and its length. */
const HEAD = 6
/** Of an answer itself, before what it says. */
const ANSWER_HEAD = 10
const SIZE_AT = 2
const CODE_AT = 6
const CODES = [
  ...[0, 0x100, 0x101, 0x128, 0x18b, 0x28b, 0x98e, 0x99d, 0x1df, 0x902, 0x903],
  ...[0x908, 0x90a, 0x920, 0x921, 0x922, 0xffffffff],
]

type Way = (clock: DrivenClock, call: Call) => Promise<unknown>

/** The first byte says what is done, and answers follow. */
export const tpm: Surface = {
  name: 'tpm',
  from: 'a TPM, its firmware, and whoever stands in its place',
  files: ['remote/tpm/'],
  mutate(input, other, random) {
    const answers = answersIn(input)
    if (answers.length === 0 || random.below(40) === 0) return mutateBytes(input, other, random)
    for (let left = 1 + random.below(3); left > 0; left -= 1) {
      oneOf(random, CHANGES)(answers, answersIn(other), random)
    }
    const way = random.below(20) === 0 ? random.below(256) : (input[0] ?? 0)
    return encoded(way, answers).subarray(0, MAX_INPUT_BYTES)
  },
  open,
}

type Change = (
  answers: TpmAnswer[],
  more: readonly TpmAnswer[],
  random: Parameters<Mutator>[2],
) => void

const CHANGES: readonly (readonly [number, Change])[] = [
  [6, bendBody],
  [2, refuse],
  [1, (answers, _more, random) => answers.splice(random.below(answers.length), 1)],
  [1, (answers, _more, random) => answers.push(random.pick(answers))],
  [1, (answers, _more, random) => answers.unshift(random.pick(answers))],
  [1, (answers, more, random) => more.length > 0 && answers.unshift(random.pick(more))],
]

/** Mostly with the size that it then has, since a wrong one is seen at once. */
function bendBody(
  answers: TpmAnswer[],
  _more: readonly TpmAnswer[],
  random: Parameters<Mutator>[2],
) {
  const at = random.below(answers.length)
  const found = answers[at]
  if (found === undefined) return
  const { command, answer } = found
  const [head, body] = [answer.subarray(0, ANSWER_HEAD), answer.subarray(ANSWER_HEAD)]
  const bent = Buffer.concat([head, mutateBytes(body, body, random)])
  if (bent.length >= ANSWER_HEAD && random.below(8) > 0) bent.writeUInt32BE(bent.length, SIZE_AT)
  answers[at] = { command, answer: bent }
}

function refuse(answers: TpmAnswer[], _more: readonly TpmAnswer[], random: Parameters<Mutator>[2]) {
  const answer = Buffer.from('80010000000a00000000', 'hex')
  answer.writeUInt32BE(random.pick(CODES), CODE_AT)
  answers.unshift({ command: random.pick(answers).command, answer })
}

function answersIn(input: Uint8Array): TpmAnswer[] {
  const bytes = Buffer.from(input)
  const answers: TpmAnswer[] = []
  for (let at = 1; at + HEAD <= bytes.length; ) {
    const end = at + HEAD + bytes.readUInt16BE(at + 4)
    answers.push({ command: bytes.readUInt32BE(at), answer: bytes.subarray(at + HEAD, end) })
    at = end
  }
  return answers
}

function encoded(way: number, answers: readonly TpmAnswer[]): Buffer {
  const parts = answers.flatMap(({ command, answer }) => {
    const head = Buffer.alloc(HEAD)
    head.writeUInt32BE(command)
    head.writeUInt16BE(Math.min(answer.length, 0xffff), 4)
    return [head, answer]
  })
  return Buffer.concat([Buffer.of(way), ...parts])
}

async function open(): Promise<Target> {
  const { files, ways: recorded } = JSON.parse(await readFile(VECTOR, 'utf8'))
  const folder = await tempFolder()
  for (const [name, text] of Object.entries<string>(files)) await writeFile(folder.at(name), text)
  const names = ['look', 'sign', 'fixed', 'make']
  const ways = waysWith(folder.at)
  const played = new PlayedTpm()
  return {
    seeds: names.map((name, way) => encoded(way, recorded[name].map(fromHex))),
    async run(input) {
      played.play(answersIn(input))
      const clock = new DrivenClock()
      const way = ways[(input[0] ?? 0) % ways.length]
      if (way === undefined) return
      try {
        await clock.drive(withinLimit(clock, LIMIT_MS, (call) => way(clock, call)))
      } finally {
        played.check()
      }
    },
    async [Symbol.asyncDispose]() {
      played[Symbol.dispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

function waysWith(at: (name: string) => string): readonly Way[] {
  const signed = { device: DEVICE, keyFile: at('signed'), policyFile: at('policies') }
  const fixed = { device: DEVICE, keyFile: at('fixed'), policyFile: undefined }
  const sign = async (config: typeof signed | typeof fixed, clock: DrivenClock, call: Call) => {
    const key = await tpmAssertionKey(config, clock)
    return await key.sign({ header: { alg: key.algorithm, typ: 'JWT' }, claims: CLAIMS }, call)
  }
  return [
    (clock, call) => lookAtLoginKey(signed, { clock, call }),
    (clock, call) => sign(signed, clock, call),
    (clock, call) => sign(fixed, clock, call),
    (clock, call) => makeTpmKey(DEVICE, { pcrs: [7, 11] }, { clock, call }),
  ]
}

/** Of the recording. */
const CLAIMS = { sub: 'cp-1' }

function fromHex({ command, answer }: { command: number; answer: string }): TpmAnswer {
  return { command, answer: Buffer.from(answer, 'hex') }
}
