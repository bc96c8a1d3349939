/** Settings as they are written, and their table. @module */

import * as assert from 'uvu/assert'
import { suite } from '../_lib/uvu.ts'
import { parseSetting, printSettings } from './settings.ts'

const test = suite('bench/settings', () => ({}))

test('parseSetting() tells flags from variables', () => {
  assert.equal(parseSetting('--max-semi-space-size=1 MALLOC_ARENA_MAX=2  --lite-mode'), {
    nodeFlags: ['--max-semi-space-size=1', '--lite-mode'],
    environment: { MALLOC_ARENA_MAX: '2' },
  })
  assert.equal(parseSetting(''), { nodeFlags: [], environment: {} })
})

test('parseSetting() refuses what is neither', () => {
  assert.throws(() => parseSetting('arenas'), /"arenas" is neither --flag nor NAME=value/)
})

test('printSettings() says where a setting brings a server down', () => {
  const numbers = { perSecond: 5000.4, cpuUs: 100, idleMb: 70, loadedMb: 90, peakMb: 95 }
  const text = printSettings(
    {
      machine: 'a machine',
      method: 'once',
      settings: [{ setting: '--lite-mode', servers: { floor: numbers, vault: undefined } }],
    },
    true,
  )

  assert.ok(
    text.endsWith(
      '\n| `--lite-mode` | fails | fails | fails | fails | fails | 5000 | 100 | 70 | 90 | 95 |',
    ),
  )
})

test.run()
