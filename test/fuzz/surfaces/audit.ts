/** Audit files, as whoever may write them leaves them. @module */

import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { CompactSign } from 'jose'
import { keyFingerprint } from '../../../src/base/key_fingerprint.ts'
import { HEAD_TYPE } from '../../../src/observe/audit/head.ts'
import { verifyAudit } from '../../../src/tools/audit/verify.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { RamFile } from '../engine/ram_file.ts'
import { jsonMutator } from '../mutate/json.ts'
import { oneOf } from '../mutate/mutator.ts'
import { textMutator } from '../mutate/text.ts'
import { bytesOf, type Surface, type Target, textOf } from '../surface.ts'

/** Stands where a value is to be the right one, so that a change is not stopped by the chain alone. */
const RIGHT = '?'

const TIME = '2026-11-30T00:00:00.000Z'
const BEGIN = { seq: 1, time: TIME, event: 'begin', format: 1, version: '1', node: 'n', run: 'r' }
const RECORD = { seq: 2, time: TIME, event: 'request', api: 'v2', operation: 'Encrypt', code: 'ok' }
const HEAD = {
  seq: 3,
  time: TIME,
  event: 'head',
  format: 1,
  why: 'closed',
  node: 'n',
  run: 'r',
  records: 1,
}
const SEEDS = [
  [
    { ...BEGIN, after: 'nothing', prev: null },
    { ...RECORD, lost: 2, prev: RIGHT },
    { ...HEAD, key: RIGHT, signature: RIGHT, prev: RIGHT },
  ],
  [
    { ...BEGIN, after: 'unknown', prev: null },
    { ...HEAD, seq: 2, records: 0, unsigned: 'no_key', prev: RIGHT },
    { ...BEGIN, seq: 3, after: 'closed', prev: RIGHT },
  ],
]

const asText = textMutator(
  ['begin', 'request', 'head', RIGHT, '"lost":1', '"prev":null'],
  ['\n', '['],
)
const asJson = jsonMutator(
  ['begin', 'request', 'head', 'rotated', 'closed', 'unknown', RIGHT],
  ['seq', 'prev', 'lost', 'signature', 'key', 'unsigned', 'records'],
)

const oneLine: Surface['mutate'] = (input, other, random) => {
  const lines = textOf(input).split('\n')
  const at = random.below(lines.length)
  lines[at] = textOf(asJson(bytesOf(lines[at] ?? ''), other, random))
  return bytesOf(lines.join('\n'))
}

export const audit: Surface = {
  name: 'audit',
  from: 'whoever may write the folder of the audit stream',
  files: ['tools/audit/', 'observe/audit/lines.ts'],
  mutate(input, other, random) {
    const mutate = oneOf(random, [
      [2, asText],
      [3, oneLine],
    ])
    return mutate(input, other, random)
  },
  open(): Promise<Target> {
    const [file, keyFile] = [new RamFile(), new RamFile()]
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    writeFileSync(keyFile.path, publicKey.export({ format: 'pem', type: 'spki' }))
    const key = keyFingerprint(publicKey)
    return Promise.resolve({
      seeds: SEEDS.map((lines) => bytesOf(lines.map((line) => JSON.stringify(line)).join('\n'))),
      async run(input) {
        file.hold(bytesOf(await linked(textOf(input).split('\n'), key, privateKey)))
        await verifyAudit([file.path], { key: [keyFile.path], json: false }, memoryIo())
      },
      async [Symbol.asyncDispose]() {
        await file[Symbol.asyncDispose]()
        await keyFile[Symbol.asyncDispose]()
      },
    })
  },
}

async function linked(lines: readonly string[], key: string, secret: KeyObject): Promise<string> {
  let before = ''
  let text = ''
  for (const [at, line] of lines.entries()) {
    const whole = await rightened(line, before, key, secret)
    before = createHash('sha256').update(whole).digest('hex')
    text += at < lines.length - 1 || whole !== line ? `${whole}\n` : whole
  }
  return text
}

async function rightened(line: string, prev: string, key: string, secret: KeyObject) {
  const fields: unknown = parsed(line)
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) return line
  const { signature, ...claims } = {
    ...fields,
    ...('prev' in fields && fields.prev === RIGHT ? { prev } : {}),
    ...('key' in fields && fields.key === RIGHT ? { key } : {}),
  } as Readonly<Record<string, unknown>>
  if (signature === undefined) return JSON.stringify(claims)
  const { prev: last, ...rest } = claims
  const signed = signature === RIGHT ? await sealed(claims, secret) : signature
  return JSON.stringify({
    ...rest,
    signature: signed,
    ...(last === undefined ? {} : { prev: last }),
  })
}

function sealed(claims: unknown, secret: KeyObject): Promise<string> {
  const header = { alg: 'EdDSA', typ: HEAD_TYPE }
  return new CompactSign(bytesOf(JSON.stringify(claims))).setProtectedHeader(header).sign(secret)
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
