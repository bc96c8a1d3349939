/** The recipes of docs/architecture.md list every file that the example of each has touched. @module */

import * as assert from 'uvu/assert'
import { ROOMS } from '../../build/layers.ts'
import { suite } from '../_lib/uvu.ts'
import {
  COMMENT,
  FILES,
  pathOf,
  quotedIn,
  read,
  rowsOf,
  SOURCES,
  section,
} from './architecture_page.ts'

const test = suite('docs/recipes', () => ({}))

interface Recipe {
  readonly title: string
  /** What is there already, by the name that it is found by. */
  readonly example: string
  /** Of the example, for the words of the page that stand in capitals. */
  readonly capitals?: Readonly<Record<string, string>>
  /** Where the example has files that only it has. */
  readonly own?: string
  /** Where every file that has the name must be in the list; elsewhere it is used. */
  readonly rooms?: readonly string[]
}

const RECIPES: readonly Recipe[] = [
  {
    title: 'Add a key service',
    example: 'gcpkms',
    capitals: { SERVICE: 'google', TYPE: 'gcpkms' },
    own: 'src/services/google/',
  },
  { title: 'Add a login', example: 'userpass', capitals: { METHOD: 'userpass' } },
  { title: 'Add a command', example: 'verify-bundle', capitals: { COMMAND: 'verify_bundle' } },
  { title: 'Add a metric', example: 'provider_healthy' },
  { title: 'Add a config key', example: 'statusVersion', rooms: ['config', 'plugin'] },
]

/** However the name is joined: `verify-bundle`, `verify_bundle`, `verifyBundle`. */
function finds(name: string): RegExp {
  return new RegExp(name.split(/[-_]/).join('[\\W_]{0,2}'), 'i')
}

interface Row {
  readonly path: string
  /** False where the page says when. */
  readonly always: boolean
}

function rowsFor({ title, capitals = {} }: Recipe): Row[] {
  return rowsOf(section(title)).map(([file = '', why = '']) => {
    const named = pathOf(quotedIn(file)[0] ?? '')
    const path = Object.entries(capitals).reduce((at, [word, own]) => at.replace(word, own), named)
    return { path, always: !why.startsWith('only where') }
  })
}

/** Files of the sources in which the example stands, but for comments and what only it has. */
function filesHaving({ example, own, rooms = Object.keys(ROOMS) }: Recipe): string[] {
  return [...SOURCES]
    .filter(([file]) => rooms.some((room) => file.startsWith(`src/${room}/`)))
    .filter(([file]) => own === undefined || !file.startsWith(own))
    .filter(([, source]) => finds(example).test(source.replaceAll(COMMENT, '')))
    .map(([file]) => file)
}

for (const recipe of RECIPES) {
  const { title, example } = recipe

  test(`"${title}" lists every file that has ${example}, and no other`, async () => {
    const rows = rowsFor(recipe)
    const listed = rows.map(({ path }) => path)
    const having = filesHaving(recipe)

    assert.match(section(title), `\`${example}\``)
    assert.ok(having.length > 0)
    assert.equal(
      having.filter((file) => !listed.includes(file)),
      [],
    )
    for (const { path } of rows.filter((row) => row.always)) {
      if (FILES.has(path)) assert.match(await read(path), finds(example), path)
      else
        assert.ok(
          [...FILES].some((file) => file.startsWith(path) && path.endsWith('/')),
          path,
        )
    }
  })
}

test.run()
