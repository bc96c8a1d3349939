/**
 * docs/architecture.md is the map of the sources: every file, arrow, walk, type and
 * recipe on it is compared with them.
 *
 * @module
 */

import { posix } from 'node:path'
import * as assert from 'uvu/assert'
import { importsOf, ROOMS } from '../../build/layers.ts'
import { suite } from '../_lib/uvu.ts'
import {
  FILES,
  PAGE,
  pathOf,
  quotedIn,
  read,
  rowsOf,
  SOURCES,
  section,
  sourceOf,
} from './architecture_page.ts'

const test = suite('docs/architecture', () => ({}))

test('every file and folder that the page names is there', () => {
  const names = quotedIn(PAGE.replaceAll(/^```.*?^```$/gms, ''))
    .filter((name) => /^[\w./-]+$/.test(name) && !/[A-Z]{3}/.test(name.replace('README', '')))
    .filter((name) => /\.(?:ts|json|md|1)$/.test(name) || name.includes('/'))
    .filter((name) => !name.startsWith('/'))
  const files = [...FILES]
  const isThere = (name: string) =>
    FILES.has(pathOf(name)) ||
    files.some((file) => `/${file}`.includes(`/${name}`.replace(/[^/]$/, '$&/')))
  const missing = names.filter((name) => !isThere(name))

  assert.ok(names.length > 100, `${names.length} names`)
  assert.equal(missing, [])
})

test('the picture has the rooms of build/layers.ts, and of their arrows those that no others imply', () => {
  const [, picture = ''] = /^```mermaid\n(.*?)^```$/ms.exec(PAGE) ?? []
  const drawn = [...picture.matchAll(/^ {2}(\w+) --> (.*)$/gm)].flatMap(([, from = '', to = '']) =>
    to.split(' & ').map((each) => `${from} --> ${each}`),
  )
  const needed = Object.entries(ROOMS).flatMap(([room, uses]) =>
    uses
      .filter((used) => !uses.some((other) => other !== used && roomsBelow(other).has(used)))
      .map((used) => `${room} --> ${used}`),
  )

  assert.equal(new Set(drawn), new Set(needed))
})

function roomsBelow(room: string): Set<string> {
  const seen = new Set([room])
  for (const each of seen) for (const used of ROOMS[each] ?? []) seen.add(used)
  return seen
}

test('what the picture allows and build/layers.ts does not is said beside it', () => {
  const [, said = ''] =
    /It is stricter than the picture in \w+ places: (.*?)\. In /s.exec(PAGE) ?? []
  const told = said.replaceAll('\n', ' ').split('; ')
  const stricter = Object.entries(ROOMS).flatMap(([room, uses]) => {
    const refused = [...roomsBelow(room)].filter((each) => each !== room && !uses.includes(each))
    return refused.length === 0 ? [] : [{ room, uses, refused }]
  })

  assert.is(told.length, stricter.length)
  for (const { room, uses, refused } of stricter) {
    const [, ...named] = quotedIn(
      told.find((each) => each.replace('and ', '').startsWith(`\`${room}`)) ?? '',
    )
    assert.equal(new Set(named), new Set(room === 'main' ? uses : refused), room)
  }
})

test('every room has its row, and may import none of those that it must never know', () => {
  const rows = rowsOf(section('Rooms'))

  assert.equal(
    rows.map(([room = '']) => quotedIn(room)[0]),
    Object.keys(ROOMS),
  )
  for (const [room = '', , never = ''] of rows) {
    const uses = ROOMS[room.replaceAll('`', '')] ?? []
    const named = quotedIn(never).filter((name) => name in ROOMS)
    const used = named.filter((name) => uses.includes(name))
    // Of some rooms it is said what they know alone.
    const known = /^(?:everything but|anybody)/.test(never) ? uses : []
    assert.equal(new Set(used), new Set(known), room)
  }
})

for (const page of ['README.md', 'CONTRIBUTING.md']) {
  test(`${page} draws every room above all that it may import`, async () => {
    const [, line = ''] = /^ {4}(main → .*)$/m.exec(await read(page)) ?? []
    const floors = line.split(' → ').map((floor): string[] => floor.match(/\w+/g) ?? [])

    assert.equal(new Set(floors.flat()), new Set(Object.keys(ROOMS)))
    for (const [room, uses] of Object.entries(ROOMS)) {
      const below = floors.slice(floors.findIndex((floor) => floor.includes(room)) + 1).flat()
      for (const used of uses) assert.ok(below.includes(used), `${room} and ${used}`)
    }
  })
}

/** Files of ours that a file imports, types too. */
function importedBy(file: string): Set<string> {
  const paths = importsOf(sourceOf(file)).filter((path) => path.startsWith('.'))
  return new Set(paths.map((path) => posix.join(posix.dirname(file), path)))
}

function areNeighbours(a: string, b: string): boolean {
  return a === b || importedBy(a).has(b) || importedBy(b).has(a)
}

function reaches(from: string, to: string): boolean {
  const seen = new Set([from])
  for (const file of seen) {
    if (!SOURCES.has(file)) continue
    for (const next of importedBy(file)) seen.add(next)
  }
  return seen.has(to)
}

interface Step {
  readonly file: string
  readonly text: string
  /** The file that the data comes from; undefined for the first step. */
  readonly from: string | undefined
}

function stepsOf(walk: string): Step[] {
  const steps: Step[] = []
  let at: string | undefined
  for (const [, indent = '', named = '', text = ''] of section(walk).matchAll(
    /^( *)(?:\d+\.|-) `([\w./]+)`(.*)$/gm,
  )) {
    const file = pathOf(named)
    steps.push({ file, text, from: at })
    if (indent === '') at = file
  }
  return steps
}

const GIVEN = /Given by `([^`]+)` as `(\w+)` \(`([^`]+)`\)\.$/

/** Undefined where the data can come this way. */
function problemOf({ file, text, from }: Step): string | undefined {
  if (from === undefined) return undefined
  const [, by, type, seam] = GIVEN.exec(text) ?? []
  if (by === undefined || type === undefined || seam === undefined) {
    return areNeighbours(from, file) ? undefined : `${from} and ${file} do not import each other`
  }
  const [giver, seamFile] = [pathOf(by), pathOf(seam)]
  if (!giver.startsWith('src/plugin/')) return `${giver} puts nothing together`
  const strangers = [from, file].filter(
    (each) => !(reaches(giver, each) || reaches(each, giver)) || !takes(each, type, seamFile),
  )
  return strangers.length === 0 ? undefined : `${strangers.join()}: not by ${type} of ${seam}`
}

/** Whether a file imports a type by its name from where it is. */
function takes(file: string, type: string, seam: string): boolean {
  return [...sourceOf(file).matchAll(/^import (?:type )?\{([^}]*)\} from '([^']+)'/gm)].some(
    ([, names = '', path = '']) =>
      posix.join(posix.dirname(file), path) === seam && new RegExp(`\\b${type}\\b`).test(names),
  )
}

for (const walk of ['An Encrypt', 'A Decrypt', 'A rotation', 'A reload']) {
  test(`${walk} passes from each file to the next as imports and seams lead`, () => {
    const steps = stepsOf(walk)
    const lines = section(walk).match(/^ *(?:\d+\.|-) .*$/gm) ?? []

    assert.ok(steps.length >= 8)
    assert.is(steps.length, lines.length, 'a step that names no file first')
    assert.equal(
      steps.flatMap((step) => problemOf(step) ?? []),
      [],
    )
  })
}

test('every type of the glossary stands where the page says', () => {
  const rows = rowsOf(section('Glossary'))
  const words = rows.map(([word = '']) => word)

  assert.ok(rows.length > 30)
  assert.is(new Set(words).size, words.length)
  for (const [word = '', meaning = '', type = ''] of rows) {
    assert.ok(meaning.length > 10, word)
    if (type.trim() === '') continue
    const [, name = '', file = ''] = /^`(\w+)` in `([^`]+)`$/.exec(type) ?? []
    const stands = new RegExp(`^(?:export )?(?:interface|type|class) ${name}\\b`, 'm')
    assert.match(sourceOf(pathOf(file)), stands, `${word}: ${type}`)
  }
})

test('every answer to "where is" names a file, and what stands in it under that name', () => {
  const rows = rowsOf(section('Where is …'))
  let found = 0
  for (const [question = '', answer = ''] of rows) {
    for (const [, file = '', name = ''] of answer.matchAll(/`([\w./]+\.ts)`, `([#\w]+)`/g)) {
      assert.match(sourceOf(pathOf(file)), new RegExp(`${name}(?!\\w)`), question)
      found += 1
    }
  }
  assert.ok(found >= rows.length, `${found} answers of ${rows.length}`)
})

test.run()
