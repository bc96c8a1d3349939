/** The audit stream in files: its chain, its rotation, and how one process goes on from another. @module */

import {
  appendFile,
  mkdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises'
import * as assert from 'uvu/assert'
import {
  auditFiles,
  linesAt,
  RETRYING_CLOCK,
  StreamHere,
  sha256,
} from '../../_lib/observe/audit_scene.ts'
import { type TempFolder, tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'
import { until } from '../../_lib/wait.ts'

const test = suite('observe/audit/stream', () => ({}))

/** One run with one record each. */
async function runOf(folder: TempFolder, uid: string): Promise<void> {
  const { stream } = await written(folder, uid)
  await stream.close()
}

async function written(folder: TempFolder, ...uids: readonly string[]): Promise<StreamHere> {
  const here = new StreamHere(folder.at('audit.log'))
  await here.write(uids)
  return here
}

test('each line has the hash of the line before it, from the begin to the head', async () => {
  await using folder = await tempFolder()
  await runOf(folder, 'u-1')

  const text = await readFile(folder.at('audit.log'), 'utf8')
  const lines = await linesAt(folder.at('audit.log'))
  const hashes = text.split('\n').map(sha256)

  assert.equal(
    lines.map(({ seq, event, prev }) => ({ seq, event, prev })),
    [
      { seq: 1, event: 'begin', prev: null },
      { seq: 2, event: 'request', prev: hashes[0] },
      { seq: 3, event: 'head', prev: hashes[1] },
    ],
  )
  const [begin, , head] = lines
  assert.is(begin?.['after'], 'nothing')
  assert.is(begin?.['version'], '1.2.3')
  assert.is(begin?.['node'], 'cp-1')
  assert.equal(
    [head?.['why'], head?.['records'], head?.['run'], head?.['unsigned']],
    ['closed', 1, begin?.['run'], 'no_key'],
  )
  assert.is((await stat(folder.at('audit.log'))).mode & 0o777, 0o600)
})

test('a stream without a record makes no file, so that a start that fails leaves the one that is there', async () => {
  await using folder = await tempFolder()
  await runOf(folder, 'u-1')
  const before = await readFile(folder.at('audit.log'), 'utf8')

  await new StreamHere(folder.at('audit.log')).stream.close()

  assert.equal(await auditFiles(folder.path), [folder.at('audit.log')])
  assert.is(await readFile(folder.at('audit.log'), 'utf8'), before)
})

test('a file that is full ends with a head, and the next goes on from that', async () => {
  await using folder = await tempFolder()
  const here = new StreamHere(folder.at('audit.log'), { maxBytes: 600 })
  for (const uid of ['a', 'b', 'c', 'd', 'e', 'f']) await here.write([uid])
  await here.stream.close()

  const files = await auditFiles(folder.path)
  assert.is(files.length, 3)
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')))
  const lines = texts.map((text) => text.trimEnd().split('\n'))
  for (const [at, part] of lines.slice(1).entries()) {
    const [begin, head] = [JSON.parse(part[0] ?? ''), lines[at]?.at(-1) ?? '']
    assert.equal([begin.after, begin.prev], ['rotated', sha256(head)])
    assert.is(JSON.parse(head).why, 'rotated')
    assert.match(files[at] ?? '', new RegExp(`-${JSON.parse(head).seq}$`))
  }
  const uids = lines.flat().flatMap((line) => JSON.parse(line).uid ?? [])
  assert.equal(uids, ['a', 'b', 'c', 'd', 'e', 'f'])
})

test('the oldest files go when all are too large, and no file of another name', async () => {
  await using folder = await tempFolder()
  const others = ['audit.log.1', 'audit.log.20261130T120000000Z-1.gz', 'audit.logs']
  for (const name of others) await writeFile(folder.at(name), 'x'.repeat(9_000))
  const options = { maxBytes: 500, maxTotalBytes: 2_500 }
  const here = new StreamHere(folder.at('audit.log'), options)
  for (let at = 0; at < 20; at += 1) await here.write([`u-${at}`])
  await here.stream.close()

  const files = (await auditFiles(folder.path)).filter(
    (file) => !others.some((name) => file.endsWith(name)),
  )
  const rotated = files.slice(0, -1)
  const sizes = await Promise.all(rotated.map(async (file) => (await stat(file)).size))
  const all = sizes.reduce((sum, size) => sum + size, 0)

  assert.ok(all <= 2_500 && all > 1_000, `${sizes}`)
  const kept = (await Promise.all(files.map(linesAt))).flat().flatMap(({ uid }) => uid ?? [])
  assert.is(kept.at(-1), 'u-19')
  assert.not.ok(kept.includes('u-0'))
  for (const name of others) assert.is((await stat(folder.at(name))).size, 9_000)
})

test('a plugin that is restarted again and again pushes no file out', async () => {
  await using folder = await tempFolder()
  for (let at = 0; at < 30; at += 1) {
    const here = new StreamHere(folder.at('audit.log'), { maxBytes: 65_536, maxTotalBytes: 65_536 })
    await here.write([`u-${at}`])
    // It is killed: there is no head.
  }

  const files = await auditFiles(folder.path)
  const uids = (await Promise.all(files.map(linesAt))).flat().flatMap(({ uid }) => uid ?? [])

  assert.equal(
    uids,
    Array.from({ length: 30 }, (_, at) => `u-${at}`),
  )
})

for (const { what, harm, after, links } of [
  { what: 'was closed', harm: () => undefined, after: 'closed', links: -1 },
  {
    what: 'lost its head',
    harm: (text: string) => text.replace(/.*\n$/, ''),
    after: 'cut',
    links: -1,
  },
  { what: 'is torn', harm: (text: string) => `${text}{"seq":4,"ti`, after: 'torn', links: -2 },
  {
    what: 'has other text at its end',
    harm: (text: string) => `${text}hello\n`,
    after: 'unreadable',
    links: undefined,
  },
  { what: 'holds half a line', harm: () => '{"seq":1', after: 'torn', links: undefined },
  { what: 'is empty', harm: () => '', after: 'nothing', links: undefined },
] as const) {
  test(`where the file ${what}, the next one says so and leaves it as it is`, async () => {
    await using folder = await tempFolder()
    await runOf(folder, 'u-1')
    const before = await readFile(folder.at('audit.log'), 'utf8')
    const harmed = harm(before) ?? before
    await writeFile(folder.at('audit.log'), harmed)

    await runOf(folder, 'u-2')

    const files = await auditFiles(folder.path)
    const [begin] = await linesAt(folder.at('audit.log'))
    assert.is(files.length, harmed === '' ? 1 : 2)
    if (harmed !== '') assert.is(await readFile(files[0] ?? '', 'utf8'), harmed)
    assert.is(begin?.['after'], after)
    const lines = harmed.split('\n')
    const last =
      links === undefined ? null : sha256(lines.at(links - (after === 'torn' ? 0 : 1)) ?? '')
    assert.is(begin?.['prev'], last)
  })
}

test('where the file was taken away, the next one goes on from the newest that was rotated', async () => {
  await using folder = await tempFolder()
  await runOf(folder, 'u-1')
  await runOf(folder, 'u-2')
  await rm(folder.at('audit.log'))
  const [rotated = ''] = await auditFiles(folder.path)
  const lines = (await readFile(rotated, 'utf8')).trimEnd().split('\n')

  await runOf(folder, 'u-3')

  const [begin] = await linesAt(folder.at('audit.log'))
  assert.equal([begin?.['seq'], begin?.['prev']], [4, sha256(lines.at(-1) ?? '')])
})

test('two processes at once each keep a chain of their own, also when both rotate', async () => {
  await using folder = await tempFolder()
  const options = { maxBytes: 1_000 }
  const old = new StreamHere(folder.at('audit.log'), options)
  await old.write(['old-1'])
  const young = new StreamHere(folder.at('audit.log'), options)
  for (const at of [2, 3, 4, 5, 6]) {
    await young.write([`young-${at}`])
    await old.write([`old-${at}`])
  }
  await old.stream.close()
  await young.stream.close()

  const files = await auditFiles(folder.path)
  const all = await Promise.all(files.map(linesAt))
  const uids = all.flat().flatMap(({ uid }) => uid ?? [])
  assert.is(new Set(uids).size, 11)
  assert.is(uids.length, 11)
  for (const lines of all) assert.is(new Set(lines.flatMap(({ run }) => run ?? [])).size, 1)
})

test('a file that somebody removes is noticed, and a new one begun', async () => {
  await using folder = await tempFolder()
  const here = new StreamHere(folder.at('audit.log'), { clock: RETRYING_CLOCK })
  await here.write(['u-1'])
  await rm(folder.at('audit.log'))

  await here.write(['u-2'])
  await here.stream.close()

  const lines = await linesAt(folder.at('audit.log'))
  assert.equal(
    lines.map(({ seq, uid, after }) => uid ?? after ?? seq),
    ['failed', 'u-2', 5],
  )
  assert.equal(here.events.notices(), ['audit_failed', 'audit_resumed'])
  const { message = '' } = here.events.noticesOf('audit_failed').at(-1) ?? {}
  assert.match(message, 'Somebody removed the file')
})

for (const { what, put, says } of [
  {
    what: 'a symbolic link',
    put: async (folder: TempFolder) => {
      await writeFile(folder.at('elsewhere'), '')
      await symlink(folder.at('elsewhere'), folder.at('audit.log'))
    },
    says: 'It is a symbolic link',
  },
  {
    what: 'a folder',
    put: (folder: TempFolder) => mkdir(folder.at('audit.log')),
    says: 'It is no file',
  },
]) {
  test(`${what} in its place is refused at the start, and the stream begins once it is gone`, async () => {
    await using folder = await tempFolder()
    await put(folder)
    const here = new StreamHere(folder.at('audit.log'), { clock: RETRYING_CLOCK })

    await until('it is said', () => here.events.notices().includes('audit_failed'))
    assert.match(here.events.noticesOf('audit_failed')[0]?.message ?? '', says)
    const all = here.write(['u-1'])
    await rm(folder.at('audit.log'), { recursive: true })
    await all
    await here.stream.close()

    assert.is((await linesAt(folder.at('audit.log'))).length, 3)
    assert.equal(here.events.notices(), ['audit_failed', 'audit_resumed'])
  })
}

test('what another program cuts off is not mended', async () => {
  await using folder = await tempFolder()
  const here = await written(folder, 'u-1', 'u-2')
  await truncate(folder.at('audit.log'), 0)
  await here.write(['u-3'])
  await here.stream.close()
  await appendFile(folder.at('audit.log'), '')

  const [first] = await linesAt(folder.at('audit.log'))
  assert.is(first?.['seq'], 4)
})

test.run()
