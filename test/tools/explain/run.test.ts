/** `trousseau explain`: it knows every code and every event, and what it says of their levels is true. */

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { KMS_ERROR_CODES, KmsError } from '../../../src/base/errors.ts'
import { runProgram } from '../../../src/cli/program.ts'
import { toStatus } from '../../../src/grpc/status.ts'
import { CODES } from '../../../src/tools/explain/codes.ts'
import { EVENTS } from '../../../src/tools/explain/events.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { suite } from '../../_lib/uvu.ts'

const SOURCES = fileURLToPath(new URL('../../../src/', import.meta.url))
/** gRPC's own numbers. */
const NUMBERS: Readonly<Record<string, number>> = {
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  INTERNAL: 13,
  UNAVAILABLE: 14,
}
const test = suite('tools/explain/run', () => ({}))

async function explained(...args: string[]) {
  const io = memoryIo()
  const code = await runProgram(['explain', ...args], io)
  return { code, out: io.printed(), err: io.complained() }
}

test('every code names the status that an API server really sees', () => {
  for (const code of KMS_ERROR_CODES) {
    const { code: number } = toStatus(new KmsError('', { code }))
    assert.is(NUMBERS[CODES[code].status], number, code)
  }
})

test('codes and events are told with what to do, and no two have one name', async () => {
  for (const name of Object.keys(CODES)) assert.not.ok(name in EVENTS, name)
  const { code, out } = await explained('unavailable')
  assert.is(code, 0)
  assert.match(out, /^unavailable \(error code\)\nTo the API server: UNAVAILABLE\n/)
  assert.match(out, /\nWhat to do: /)
  assert.match(
    (await explained('socket_vanished')).out,
    /^socket_vanished \(event\)\nLevel: warn\n/,
  )
})

test('without a word all are listed, and --json is a document of each', async () => {
  const { out } = await explained()
  for (const name of [...KMS_ERROR_CODES, ...Object.keys(EVENTS)]) assert.match(out, name)
  const listed = JSON.parse((await explained('--json')).out)
  assert.equal(listed.codes, [...KMS_ERROR_CODES])
  const one = JSON.parse((await explained('vault_node', '--json')).out)
  assert.equal([one.kind, one.fields], ['event', ['provider', 'address', 'role', 'previous']])
})

test('a word that is none gets a suggestion', async () => {
  const { code, err } = await explained('unavailible')
  assert.is(code, 1)
  assert.match(err, /did you mean unavailable\?/)
})

/** By the name of a notice, the levels at which the sources tell it. */
async function toldLevels(): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const files = await readdir(SOURCES, { recursive: true })
  const names = files.filter((file) => file.endsWith('.ts') && !file.includes('explain'))
  const sources = await Promise.all(names.map((file) => readFile(join(SOURCES, file), 'utf8')))
  const level = `'(debug|info|warn|error)'`
  const forms = [
    new RegExp(`${level},\\s*'([a-z_]+)'`, 'g'),
    new RegExp(`level: ${level},\\s*what: '([a-z_]+)'`, 'g'),
  ]
  const told = new Map<string, Set<string>>()
  const matches = sources.flatMap((text) => forms.flatMap((form) => [...text.matchAll(form)]))
  for (const [, at = '', name = ''] of matches) {
    told.set(name, (told.get(name) ?? new Set()).add(at))
  }
  return told
}

test('a notice has the levels at which the sources tell it', async () => {
  const told = await toldLevels()
  const known = Object.entries(EVENTS).filter(([name]) => told.has(name))
  assert.ok(known.length > 25, `${known.length} found in the sources`)
  for (const [name, { levels }] of known) {
    for (const at of told.get(name) ?? []) {
      assert.ok((levels as readonly string[]).includes(at), `${name} is told at ${at}`)
    }
  }
})

test.run()
