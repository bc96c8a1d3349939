/** Where there is no terminal, long work still shows that it goes on. @module */

import * as assert from 'uvu/assert'
import { Progress } from '../../src/console/progress.ts'
import { memoryIo } from '../_lib/console/memory_io.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('console/progress', () => ({}))

test('without a terminal progress is a line each half minute, and nothing where it is short', () => {
  const io = memoryIo()
  let now = 1_000
  const progress = new Progress(io, 10_000, 'objects', () => now)
  progress.step(10)
  now += 29_999
  progress.step(10)
  assert.is(io.complained(), '')

  now += 1
  progress.step(2_980)
  progress.step(10)
  now += 30_000
  progress.step(2_990)
  progress.clear()

  assert.equal(io.complained().split('\n'), [
    'trousseau: 3,000 of 10,000 objects, 100/s, 1 min 10 s left',
    'trousseau: 6,000 of 10,000 objects, 100/s, 40 s left',
    '',
  ])
})

test('at a terminal it is one line that goes away', () => {
  const io = memoryIo({ showsProgress: true })
  let now = 0
  const progress = new Progress(io, 100, 'objects', () => now)
  now = 1_000
  progress.step(50)
  progress.clear()

  const cleared = '\r\u001b[K'
  const bar = '[############............]'
  assert.is(io.complained(), `${cleared}${bar} 50 of 100 objects, 50/s, 1 s left${cleared}`)
})

test.run()
