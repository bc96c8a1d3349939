/** What `trousseau audit verify` finds: every change of what was written, and nothing where there is none. @module */

import { Buffer } from 'node:buffer'
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { copyFile, readFile, rm, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { keyFingerprint } from '../../../src/base/key_fingerprint.ts'
import { runProgram } from '../../../src/cli/program.ts'
import { HEAD_TYPE, type HeadSigner } from '../../../src/observe/audit/head.ts'
import { readAssertionKey, signAssertion } from '../../../src/remote/assertion.ts'
import type { Audited } from '../../../src/tools/audit/report.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { auditFiles, linesAt, StreamHere, sha256 } from '../../_lib/observe/audit_scene.ts'
import { SeededRandom } from '../../_lib/seeded_random.ts'
import { type TempFolder, tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('tools/audit/verify', () => ({}))
const EMPTY = { signal: new AbortController().signal, deadline: 0 }
const ROUNDS = 150

interface Scene extends AsyncDisposable {
  readonly folder: TempFolder
  /** Two of the first run, one of the second. */
  readonly files: readonly string[]
  readonly texts: readonly string[]
  readonly key: string
  readonly privateKey: KeyObject
}

async function keyPair(folder: TempFolder, name: string): Promise<KeyObject> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  await writeFile(folder.at(name), privateKey.export({ type: 'pkcs8', format: 'pem' }))
  await writeFile(folder.at(`${name}.pub`), publicKey.export({ type: 'spki', format: 'pem' }))
  return privateKey
}

function signerOf(path: string): HeadSigner {
  return async () => {
    const key = await readAssertionKey(path)
    const header = { alg: key.algorithm, typ: HEAD_TYPE }
    return {
      key: keyFingerprint(key.publicKey),
      sign: (claims) => key.sign({ header, claims }, EMPTY),
    }
  }
}

async function signedStream(): Promise<Scene> {
  const folder = await tempFolder()
  const privateKey = await keyPair(folder, 'key')
  const signer = signerOf(folder.at('key'))
  for (const uids of [
    ['a', 'b', 'c', 'd', 'e'],
    ['f', 'g'],
  ]) {
    const here = new StreamHere(folder.at('audit.log'), { signer, maxBytes: 1_200 })
    for (const uid of uids) await here.write([uid])
    await here.stream.close()
  }
  const files = await auditFiles(folder.path)
  assert.is(files.length, 3)
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')))
  const end = () => folder[Symbol.asyncDispose]()
  return { folder, files, texts, key: folder.at('key.pub'), privateKey, [Symbol.asyncDispose]: end }
}

async function run(args: readonly string[]) {
  const io = memoryIo()
  const code = await runProgram(['audit', 'verify', ...args], io)
  return { code, out: io.printed(), err: io.complained() }
}

async function verified(files: readonly string[], ...flags: readonly string[]) {
  const { code, out } = await run([...files, ...flags, '--json'])
  const audited: Audited = JSON.parse(out)
  assert.is(code, audited.intact ? 0 : 3)
  return audited
}

test('a stream of several runs is whole, in whatever order its files are named', async () => {
  await using scene = await signedStream()
  const { files, key } = scene

  for (const order of [files, files.toReversed(), [files[1], files[2], files[0], files[1]]]) {
    const audited = await verified(order.map(String), '--key', key)
    assert.equal([audited.problems, audited.notes], [[], []])
    assert.equal([audited.records, audited.lost], [7, 0])
    assert.is(audited.signedTo, audited.parts.at(-1)?.to)
    assert.equal(
      audited.parts.map(({ file, end, signature }) => [file, end, signature]),
      files.map((file, at) => [file, at === 0 ? 'rotated' : 'closed', 'valid']),
    )
  }
})

test('without a key it says that signatures were not checked; of an unsigned one that anybody can have made it', async () => {
  await using scene = await signedStream()
  const { code, out } = await run(scene.files)
  assert.is(code, 0)
  assert.match(out, 'Signatures were not checked: name the public key of the node with --key')

  await using folder = await tempFolder()
  const here = new StreamHere(folder.at('audit.log'))
  await here.write(['a'])
  await here.stream.close()
  const unsigned = await run([folder.at('audit.log')])
  assert.is(unsigned.code, 0)
  assert.match(unsigned.out, 'Nothing is signed')

  const wanted = await run([folder.at('audit.log'), '--key', scene.key])
  assert.is(wanted.code, 3)
  assert.match(wanted.out, 'is not signed, and no other head is')
})

type Lines = readonly string[]
interface Tampering {
  readonly what: string
  /** Which file, and what becomes of its lines. */
  readonly at: number
  readonly change: (lines: Lines) => Lines
  /** Of the first problem. */
  readonly line?: number
  readonly says: RegExp
}

const TAMPERINGS: readonly Tampering[] = [
  {
    what: 'a byte of a record',
    at: 0,
    change: (lines) => lines.with(1, lines[1]?.replace('"uid":"a"', '"uid":"z"') ?? ''),
    line: 2,
    says: /was changed: its hash is/,
  },
  {
    what: 'a line that is removed',
    at: 0,
    change: (lines) => lines.toSpliced(2, 1),
    line: 3,
    says: /has seq 4, expected 3: lines before it were removed/,
  },
  {
    what: 'a line that is put in',
    at: 0,
    change: (lines) => lines.toSpliced(2, 0, lines[1] ?? ''),
    line: 3,
    says: /has seq 2, expected 3: it was put in, or moved/,
  },
  {
    what: 'two lines that are swapped',
    at: 0,
    change: (lines) => lines.with(1, lines[2] ?? '').with(2, lines[1] ?? ''),
    line: 2,
    says: /has seq 3, expected 2/,
  },
  {
    what: 'the begin that is removed',
    at: 1,
    change: (lines) => lines.slice(1),
    line: 1,
    says: /is not the begin of a part/,
  },
  {
    what: 'the tail of a file that another goes on from',
    at: 0,
    change: (lines) => lines.slice(0, -1),
    says: /goes on from a line with seq \d+ that is in none of the files/,
  },
  {
    what: 'a line behind the head',
    at: 2,
    change: (lines) => [...lines, lines[1] ?? ''],
    line: 5,
    says: /stands behind the head/,
  },
  {
    what: 'a field that is there twice',
    at: 2,
    change: (lines) => lines.with(-1, lines.at(-1)?.replace('{', '{"seq":1,') ?? ''),
    line: 4,
    says: /is no line of the audit stream/,
  },
  {
    what: 'another number of records in the last head',
    at: 2,
    change: (lines) => lines.with(-1, lines.at(-1)?.replace('"records":2', '"records":3') ?? ''),
    line: 4,
    says: /says that there are 3 records, and there are 2/,
  },
  {
    what: 'another time in the last head',
    at: 2,
    change: (lines) => lines.with(-1, lines.at(-1)?.replace('"time":"2', '"time":"3') ?? ''),
    line: 4,
    says: /has a signature of something else/,
  },
  {
    what: 'the name of another key in the last head',
    at: 2,
    change: (lines) =>
      lines.with(-1, lines.at(-1)?.replace('"key":"sha256:', '"key":"sha256:0') ?? ''),
    line: 4,
    says: /which is none of --key/,
  },
  {
    what: 'a line longer than any',
    at: 2,
    change: (lines) => [...lines.slice(0, 2), 'x'.repeat(200_000), ...lines.slice(2)],
    line: 3,
    says: /is longer than any line/,
  },
]

for (const { what, at, change, line, says } of TAMPERINGS) {
  test(`${what} is found, with its place`, async () => {
    await using scene = await signedStream()
    const { files, texts, key } = scene
    const lines = (texts[at] ?? '').trimEnd().split('\n')
    await writeFile(files[at] ?? '', `${change(lines).join('\n')}\n`)

    const { intact, problems } = await verified(files, '--key', key)

    assert.not.ok(intact)
    const [first] = problems
    assert.match(first?.what ?? '', says)
    if (line !== undefined) assert.equal([first?.file, first?.line], [files[at], line])
  })
}

test('a file that is missing in the middle is found; one at the begin or the end is said', async () => {
  await using scene = await signedStream()
  const [first = '', second = '', third = ''] = scene.files

  const middle = await verified([first, third], '--key', scene.key)
  assert.not.ok(middle.intact)
  assert.match(middle.problems[0]?.what ?? '', /in none of the files/)

  const begin = await verified([second, third], '--key', scene.key)
  assert.ok(begin.intact)
  assert.match(
    begin.notes[0]?.what ?? '',
    /^the chain begins at seq \d+; what was before is not here$/,
  )

  const end = await verified([first], '--key', scene.key)
  assert.ok(end.intact)
  assert.match(end.notes[0]?.what ?? '', 'its run went on after it, and that file is not here')
})

test('a file that was removed before the plugin began the next one is found by the head before it', async () => {
  await using scene = await signedStream()
  const { folder, key } = scene
  // What a run rotated into is taken away, and the next run goes on from what is left.
  const [first = '', second = '', third = ''] = scene.files
  await rm(second)
  await rm(third)
  const here = new StreamHere(folder.at('audit.log'), { signer: signerOf(folder.at('key')) })
  await here.write(['h'])
  await here.stream.close()

  const { intact, problems } = await verified([first, folder.at('audit.log')], '--key', key)

  assert.not.ok(intact)
  assert.match(
    problems[0]?.what ?? '',
    /its run went on after it, and that file is not here: removed/,
  )
})

test('a copy of a file is not counted twice', async () => {
  await using scene = await signedStream()
  await copyFile(scene.files[0] ?? '', scene.folder.at('copy'))

  const { intact, problems } = await verified([...scene.files, scene.folder.at('copy')])

  assert.not.ok(intact)
  assert.match(problems.at(-1)?.what ?? '', /begins with the same line as/)
})

test('a tail that is cut off is said, with how far signatures vouch', async () => {
  await using scene = await signedStream()
  const { files, texts, key } = scene
  const last = files[2] ?? ''
  const lines = (texts[2] ?? '').trimEnd().split('\n')
  for (const [text, said] of [
    [`${lines.slice(0, -1).join('\n')}\n`, 'ends without a head'],
    [(texts[2] ?? '').slice(0, -20), 'ends in the middle of a line'],
    ['{"se', 'holds no whole line'],
  ] as const) {
    await writeFile(last, text)
    const { code, out } = await run([...files, '--key', key])
    const { signedTo, parts } = await verified(files, '--key', key)

    assert.is(code, 0, out)
    assert.match(out, said)
    assert.is(signedTo, parts[1]?.to)
    if (said !== 'holds no whole line') {
      assert.match(out, `vouch for it up to seq ${signedTo}, and for nothing after that`)
    }
  }
})

test('a chain that was made anew without the key is not taken for signed', async () => {
  await using scene = await signedStream()
  const { files, texts, key, folder } = scene
  const lines = (texts[2] ?? '')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  lines[1].uid = 'someone-else'
  const forged = await keyPair(folder, 'forger')
  const rechained = (finish: (head: Record<string, unknown>) => object): string => {
    let prev: string = lines[0].prev
    const made = lines.map((line) => {
      const text = JSON.stringify(
        line.event === 'head' ? finish({ ...line, prev }) : { ...line, prev },
      )
      prev = sha256(text)
      return text
    })
    return `${made.join('\n')}\n`
  }
  const jws = (by: KeyObject, header: object, payload: unknown) => {
    const parts = [header, payload].map((part) =>
      Buffer.from(JSON.stringify(part)).toString('base64url'),
    )
    const bytes = Buffer.from(parts.join('.'))
    const made = sign('sha256', bytes, { key: by, dsaEncoding: 'ieee-p1363' })
    return `${parts.join('.')}.${made.toString('base64url')}`
  }
  const header = { alg: 'ES256', typ: HEAD_TYPE }
  const login = await signAssertion(
    await readAssertionKey(folder.at('key')),
    { audience: 'vault', subject: 'cp-1', lifetime: 300_000, claims: {} },
    Date.now(),
    EMPTY,
  )

  for (const [finish, says] of [
    [(head) => head, /signature of something else/],
    [
      (head) => ({ ...head, signature: jws(forged, header, without(head)) }),
      /signature that is wrong/,
    ],
    [(head) => ({ ...head, signature: login }), /signature of something else/],
    // The right key, for another purpose.
    [
      (head) => ({
        ...head,
        signature: jws(scene.privateKey, { alg: 'ES256', typ: 'JWT' }, without(head)),
      }),
      /signature of something else/,
    ],
    [
      (head) => ({
        ...head,
        signature: jws(scene.privateKey, { alg: 'none', typ: HEAD_TYPE }, without(head)),
      }),
      /signature that is wrong/,
    ],
  ] satisfies [(head: Record<string, unknown>) => object, RegExp][]) {
    await writeFile(files[2] ?? '', rechained(finish))
    const { intact, problems } = await verified(files, '--key', key)
    assert.not.ok(intact)
    assert.match(problems[0]?.what ?? '', says)
  }
  // Whoever has the key can do it; so the test above tests what it says.
  await writeFile(
    files[2] ?? '',
    rechained((head) => ({ ...head, signature: jws(scene.privateKey, header, without(head)) })),
  )
  assert.ok((await verified(files, '--key', key)).intact)
})

function without({ signature: _, ...head }: Record<string, unknown>) {
  return head
}

test('a head is no login: it has none of the claims that one must have, and another type', async () => {
  await using scene = await signedStream()
  const head = (await linesAt(scene.files[2] ?? '')).at(-1)
  const [header, payload] = String(head?.['signature'])
    .split('.')
    .slice(0, 2)
    .map((part): Record<string, unknown> => JSON.parse(Buffer.from(part, 'base64url').toString()))

  assert.equal(header, { alg: 'ES256', typ: 'trousseau-audit+jws' })
  for (const claim of ['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti']) {
    assert.not.ok(claim in (payload ?? {}), claim)
  }
})

test('whatever is changed by chance is found', async () => {
  await using scene = await signedStream()
  const { files, texts, key } = scene
  const random = SeededRandom.announced('tools/audit/verify')
  const whole = await verified(files, '--key', key)
  for (let round = 0; round < ROUNDS; round += 1) {
    const at = random.below(files.length)
    const before = Buffer.from(texts[at] ?? '')
    const after = random.mutate(before)
    await writeFile(files[at] ?? '', after)
    const { intact, signedTo, parts, notes } = await verified(files, '--key', key)
    // Cut down to nothing, the first file is as if it were deleted, and the last as after a crash.
    const [isFirst, isLast] = [at === 0, at === files.length - 1]
    const isLess =
      (isFirst && parts[0]?.file !== files[0]) || (isLast && signedTo !== whole.signedTo)
    const found = !intact || (isLess && notes.length > 0)
    assert.ok(found, `round ${round}, file ${at}: ${Buffer.from(after)}`)
    await writeFile(files[at] ?? '', before)
  }
  assert.equal(await verified(files, '--key', key), whole)
})

test('a single bit anywhere is found', async () => {
  await using scene = await signedStream()
  const { files, texts, key } = scene
  const random = new SeededRandom(7)
  for (let round = 0; round < ROUNDS; round += 1) {
    const at = random.below(files.length)
    const bytes = Buffer.from(texts[at] ?? '')
    const place = random.below(bytes.length)
    const changed = Buffer.from(bytes)
    changed[place] = (bytes[place] ?? 0) ^ (1 << random.below(8))
    await writeFile(files[at] ?? '', changed)
    const { intact, signedTo, parts } = await verified(files, '--key', key)
    // The last line feed of all: the head is not whole, and counts no longer.
    const isTail = at === 2 && place === bytes.length - 1 && signedTo === parts[1]?.to
    assert.ok(!intact || isTail, `file ${at}, byte ${place}`)
    await writeFile(files[at] ?? '', bytes)
  }
})

test('the text of others comes out as text', async () => {
  await using folder = await tempFolder()
  const hostile = '\u001b[2J\u202e'
  const begin = {
    seq: 1,
    time: hostile,
    event: 'begin',
    format: 1,
    version: hostile,
    node: hostile,
    run: hostile,
  }
  const lines = [
    { ...begin, after: 'unknown', prev: null },
    { ...begin, seq: 9 },
  ]
  const file = folder.at(`a${hostile}`)
  await writeFile(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''))

  const { out } = await run([file])

  assert.not.ok([...hostile].some((each) => each < ' ' && out.includes(each)))
  assert.not.ok(out.includes('\u202e'))
  assert.match(out, 'BROKEN')
})

for (const [what, args, says] of [
  ['a file that is not there', ['/nonexistent/audit.log'], 'Cannot read /nonexistent/audit.log'],
  ['a folder', ['/'], 'Cannot read /'],
  ['a key that is none', ['/dev/null', '--key', '/etc/passwd'], 'is no public key of a login key'],
] as const) {
  test(`${what} is an error and no verdict`, async () => {
    const { code, out, err } = await run(args)

    assert.equal([code, out], [1, ''])
    assert.match(err, says)
  })
}

test('a private key is not taken for --key', async () => {
  await using scene = await signedStream()
  const { code, err } = await run([...scene.files, '--key', scene.folder.at('key')])

  assert.is(code, 1)
  assert.match(err, 'is no public key of a login key in PEM')
})

test('two runs beside each other are whole, as in a take-over', async () => {
  await using folder = await tempFolder()
  const old = new StreamHere(folder.at('audit.log'))
  await old.write(['old-1'])
  const young = new StreamHere(folder.at('audit.log'))
  await young.write(['young-1'])
  await old.write(['old-2'])
  await old.stream.close()
  await young.stream.close()

  const { intact, notes, records } = await verified(await auditFiles(folder.path))

  assert.ok(intact)
  assert.is(records, 3)
  assert.equal(
    notes.map(({ what }) => what),
    ['the run before wrote 2 lines more beside this one, as in a take-over'],
  )
})

test('two runs beside each other are whole also when each rotates what the other began', async () => {
  await using folder = await tempFolder()
  const [old, young] = [1, 2].map(() => new StreamHere(folder.at('audit.log'), { maxBytes: 700 }))
  for (const turn of [1, 2, 3, 4, 5, 6]) {
    await old?.write([`old-${turn}`])
    await young?.write([`young-${turn}`])
  }
  await young?.stream.close()
  await old?.stream.close()

  const { problems, records, parts } = await verified(await auditFiles(folder.path))

  assert.equal(problems, [])
  assert.is(records, 12)
  assert.ok(parts.length > 4, `${parts.length}`)
})

test('a run that was killed is said', async () => {
  await using folder = await tempFolder()
  await new StreamHere(folder.at('audit.log')).write(['a'])
  const here = new StreamHere(folder.at('audit.log'))
  await here.write(['b'])
  await here.stream.close()

  const { intact, notes } = await verified(await auditFiles(folder.path))

  assert.ok(intact)
  assert.match(notes[0]?.what ?? '', 'the run before ended without a head: killed')
})

test('several runs on standard output, kept in one file, are each whole', async () => {
  await using folder = await tempFolder()
  const part = async (uid: string) => {
    const here = new StreamHere(folder.at(uid))
    await here.write([uid])
    await here.stream.close()
    const [begin, ...rest] = (await readFile(folder.at(uid), 'utf8')).trimEnd().split('\n')
    let prev = begin?.replace('"after":"nothing"', '"after":"unknown"') ?? ''
    const all = [prev]
    for (const line of rest) {
      prev = line.replace(/"prev":"[0-9a-f]+"/, `"prev":"${sha256(prev)}"`)
      all.push(prev)
    }
    return `${all.join('\n')}\n`
  }
  await writeFile(folder.at('stdout'), `${await part('a')}${await part('b')}`)

  const { intact, records, parts } = await verified([folder.at('stdout')])

  assert.ok(intact)
  assert.equal([records, parts.length], [2, 2])
})

test.run()
