/** Pages of `top` at the widths of terminals. @module */

import { stripVTControlCharacters } from 'node:util'
import * as assert from 'uvu/assert'
import { frameOf } from '../../../src/tools/top/frame.ts'
import { chosenOf } from '../../../src/tools/top/selection.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { SCENE_NAMES, sceneOf } from '../../_lib/observe/scenes.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('tools/top/frame', () => ({}))

const configPath = '/etc/trousseau/trousseau.yaml'

for (const columns of [40, 80, 120]) {
  test(`at ${columns} columns no line is longer, whatever is shown and chosen`, () => {
    const io = memoryIo({ columns, color: true, redraws: true })
    for (const scene of SCENE_NAMES) {
      const document = sceneOf(scene)
      for (const at of [0, 1, 2]) {
        const chosen = chosenOf(document, at)
        const failure = { message: 'nobody listens there '.repeat(9), since: 0 }
        for (const line of frameOf({ document, configPath, chosen, failure }, io)) {
          const text = stripVTControlCharacters(line)
          assert.ok(text.length <= columns, `${scene} ${at}: ${text.length} ${text}`)
        }
      }
    }
  })
}

test('80 columns have the state and the token, 120 columns the key age and latency too', () => {
  const document = sceneOf('rotating')
  const pageAt = (columns: number) => frameOf({ document, configPath }, memoryIo({ columns }))
  const [narrow, wide] = [pageAt(80).join('\n'), pageAt(120).join('\n')]

  assert.match(narrow, /^ {2}vault-a {3}vault {2}ok .* writes {2}3 .* ends in 1 h$/m)
  assert.match(
    wide,
    /^ {2}vault-a .* writes {2}3 {8}30 d {5}4 in 20 m {2}ends in 1 h {2}1\.87 ms$/m,
  )
  assert.match(wide, /^Encrypt {2}.*[▁▂▃▄▅▆▇█]{3}.* none failed, p50 [\d.]+ ms, p99 [\d.]+ ms$/m)
})

test('what is chosen is marked, and its details stand below', () => {
  const document = sceneOf('denied')
  const chosen = chosenOf(document, 1)
  const page = frameOf({ document, configPath, chosen }, memoryIo({ columns: 120 })).join('\n')

  assert.match(page, /^> vault-a {3}vault {2}denied /m)
  assert.match(page, /^nodes {9}https:\/\/vault-a-1\.example\.org:8200 active, https:/m)
  assert.match(page, /^ {2}The message names the login, /m)
  assert.match(page, `next: trousseau vault policy --provider vault-a --config ${configPath}`)
})

test('hostile names and messages move no cursor and turn no text around', () => {
  const document = sceneOf('hostile')
  const chosen = chosenOf(document, 1)
  const lines = frameOf({ document, configPath, chosen }, memoryIo({ columns: 120 }))

  assert.match(lines.join('\n'), '<script>')
  for (const line of lines) assert.not.match(line, /[\p{Cc}\p{Cf}]/u)
})

test('before the first answer it says so, and why there is none', () => {
  const io = memoryIo({ columns: 80 })
  assert.equal(frameOf({ document: undefined, configPath }, io), ['Asks the plugin…'])
  const failure = { message: 'Nobody listens', since: Date.now() - 5_000 }
  assert.match(frameOf({ document: undefined, configPath, failure }, io)[0] ?? '', 'Nobody listens')
})

test.run()
