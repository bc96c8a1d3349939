/** Rules in CEL, and waivers: what a stranger may have written or signed. @module */

import { Buffer } from 'node:buffer'
import { generateKeyPairSync, sign } from 'node:crypto'
import * as v from 'valibot'
import { policyConfig } from '../../../src/policy/config.ts'
import type { Fact } from '../../../src/policy/facts/value.ts'
import { factOf, Unknown } from '../../../src/policy/facts/value.ts'
import { nodeSpecs, requestSpecs } from '../../../src/policy/facts/vocabulary.ts'
import { ruleBook } from '../../../src/policy/rule_book.ts'
import { readWaiver, readWaiverKeys } from '../../../src/policy/waiver_text.ts'
import { RamFile } from '../engine/ram_file.ts'
import { jsonMutator } from '../mutate/json.ts'
import { textMutator } from '../mutate/text.ts'
import { bytesOf, type Surface, type Target, target, textOf } from '../surface.ts'

const FILES = { f: '/etc/f' }
const CONFIG = v.parse(policyConfig, { files: FILES, encryptionConfig: '/etc/e.yaml' })
const SPECS = [...nodeSpecs(CONFIG), ...requestSpecs()]
const WORDS = [
  ...SPECS.map(({ path }) => path),
  ...[
    '&&',
    '||',
    '!',
    '==',
    '!=',
    '<',
    '>=',
    'in',
    '?',
    ':',
    '+',
    '-',
    '*',
    '/',
    '%',
    '(',
    ')',
    '[',
    ']',
  ],
  ...[
    '.all(x, x',
    '.exists(x, x',
    '.map(x, x',
    '.filter(x, x',
    'has(',
    'size(',
    '.matches(',
    'duration(',
  ],
  ...[
    'timestamp(',
    '.startsWith(',
    '.contains(',
    'int(',
    'string(',
    '"a"',
    '"(a+)+$"',
    '"5m"',
    '1u',
    '0x7f',
  ],
  ...[
    'b"a"',
    'r"\\d"',
    '"""',
    '[1, 2]',
    '{"a": 1}',
    'true',
    'null',
    '9223372036854775807',
    '1e308',
  ],
]
const RULES = [
  'kernel.lockdown == "integrity"',
  'lsm.active.all(x, x.size() < 20) && "selinux" in lsm.active',
  'tpm.pcrs["7"].startsWith("ab") || !tpm.present',
  'boot.age < duration("720h") && time.now > timestamp("2026-01-01T00:00:00Z")',
  'has(tpm.pcrs.a) ? size(node.name) > 3 : request.size < 64 && request.operation in ["encrypt"]',
  'kernel.cmdline.matches("(^| )lockdown=integrity( |$)")',
  'encryption.providers.exists(p, p.contains("kms"))',
]
/** What each fact could be, as it is recorded. */
const SHOWN: Readonly<Record<string, unknown>> = {
  bool: true,
  int: 3,
  string: `a${'-b'.repeat(200)}`,
  duration: '40s',
  timestamp: '2026-11-01T00:00:00Z',
  'list(string)': Array.from({ length: 64 }, (_, at) => `lsm-${at}`),
  'list(int)': [0, 1000],
  'map(string)': { 7: 'ab'.repeat(32), a: '' },
}

export const rules: Surface = {
  name: 'rules',
  from: 'who writes rules over the use of keys',
  files: ['policy/cel/', 'policy/rule_book.ts', 'policy/rules.ts', 'policy/facts/value.ts'],
  mutate: textMutator(WORDS, ['(', '[', '!', '-', '{"a":', 'x.all(x,', 'a+', 'true||']),
  open: () => Promise.resolve(target(RULES.map(bytesOf), judged)),
}

/** Compiled, and asked of facts that are there and of facts that are not. */
function judged(input: Uint8Array): void {
  const rule = { name: 'r', expression: textOf(input), message: 'm', mode: 'enforce' as const }
  const read = v.safeParse(policyConfig, {
    files: FILES,
    encryptionConfig: '/etc/e.yaml',
    rules: [rule],
  })
  if (!read.success) return
  const book = ruleBook(read.output)
  const known = new Map(
    SPECS.map(({ path, type }): [string, Fact] => [
      path,
      factOf(SHOWN[type], type, '') ?? new Unknown(''),
    ]),
  )
  for (const facts of [known, new Map(SPECS.map(({ path }) => [path, new Unknown('not here')]))]) {
    const bound = book.bind(facts, SPECS)
    for (const each of book.rules) each.state(bound)
  }
}

const NOW = 1_800_000_000_000
const CLAIMS = {
  ...{
    aud: 'trousseau-waiver',
    sub: 'cp-1',
    machine: 'm',
    rules: ['*'],
    who: 'me',
    why: 'because',
  },
  ...{ jti: 'one', iat: NOW / 1_000 - 60, exp: NOW / 1_000 + 600 },
}

/** JSON with `claims` is signed by a key that counts; anything else is read as it is. */
export const waiver: Surface = {
  name: 'waiver',
  from: 'whoever may write the file of a waiver or of its keys',
  files: ['policy/waiver_text.ts'],
  mutate: jsonMutator(
    ['trousseau-waiver', 'cp-1', 'ES256', 'EdDSA', 'none', 1_800_000_000],
    ['crit', 'b64', 'aud', 'nbf', 'jku', 'alg', 'kty', 'd'],
  ),
  open(): Promise<Target> {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const file = new RamFile()
    const limits = { node: 'cp-1', machine: 'm', maxLifetimeMs: 3_600_000, revoked: ['gone'] }
    const part = (value: unknown) => Buffer.from(JSON.stringify(value) ?? '').toString('base64url')
    const run = async (input: Uint8Array) => {
      const text = textOf(input)
      const { header, claims, key } = partsOf(text)
      if (key !== undefined) {
        file.hold(Buffer.from(typeof key === 'string' ? key : JSON.stringify(key)))
        return await readWaiverKeys([file.path])
      }
      const signed = `${part(header)}.${part(claims)}`
      const signature = sign(null, Buffer.from(signed), privateKey).toString('base64url')
      const waived = claims === undefined ? text : `${signed}.${signature}`
      return await readWaiver(waived, [publicKey], limits, NOW)
    }
    const odd = { alg: 'EdDSA', typ: 'JWT', crit: ['b64'], b64: false }
    const seeds = [
      { header: { alg: 'EdDSA' }, claims: CLAIMS },
      { header: odd, claims: { ...CLAIMS, jti: 'gone' } },
      { key: publicKey.export({ format: 'jwk' }) },
      { key: publicKey.export({ format: 'pem', type: 'spki' }) },
    ].map((seed) => bytesOf(JSON.stringify(seed)))
    const close = () => file[Symbol.asyncDispose]()
    return Promise.resolve({ seeds, run, [Symbol.asyncDispose]: close })
  },
}

/** JSON with `claims` is signed, and JSON with `key` is read as the file of a key. */
function partsOf(text: string): { header?: unknown; claims?: unknown; key?: unknown } {
  try {
    return Object(JSON.parse(text))
  } catch {
    return {}
  }
}
