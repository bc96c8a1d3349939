/** When a config that was refused is tried again without a change of its file. @module */

import { mkdir, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { KmsError } from '../../src/base/errors.ts'
import { parseConfig } from '../../src/config/load.ts'
import { ConfigFollower } from '../../src/plugin/reload.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { FakeClock } from '../_lib/fake_clock.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const TRIED_WITHIN_MS = 2_000
const RETRY_MS = 30_000

const test = suite('plugin/reload', () => ({}))

function configOf(keyFile: string): object {
  return {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: '/run/kms.sock' },
    providers: [{ name: 'here', type: 'local', keyFile }],
  }
}

/** Follows `config` in the folder; `apply` is what the plugin does with a changed one. */
function follow(folder: TempFolder, apply: () => Promise<void>) {
  const [clock, events] = [new FakeClock(), new RecordedEvents()]
  const before = parseConfig(configOf('/etc/before'), 'test')
  const follower = new ConfigFollower(folder.at('config'), before, { apply }, { clock, events })
  follower.start()
  const refusals = () => events.noticesOf('config_refused').map(({ message }) => message)
  return { clock, events, follower, refusals }
}

test('a config whose file the system does not give is read again, though the file shows no change', async () => {
  await using folder = await tempFolder()
  await mkdir(folder.at('config'))
  const { clock, follower, refusals } = follow(folder, () => Promise.resolve())

  await clock.advance(TRIED_WITHIN_MS)
  assert.is(refusals().length, 1)
  assert.match(refusals()[0] ?? '', /it is tried again in 30 s: .*cannot be read/)
  await clock.advance(RETRY_MS + TRIED_WITHIN_MS)
  assert.is(refusals().length, 2)
  await follower.stop()
})

test('a config that names a file which is not there yet is in force once it is', async () => {
  await using folder = await tempFolder()
  await writeFile(folder.at('config'), JSON.stringify(configOf('/etc/after')))
  let there = false
  const { clock, events, follower, refusals } = follow(folder, () => {
    if (there) return Promise.resolve()
    const cause = Object.assign(new Error('not there'), { code: 'ENOENT' })
    const error = new KmsError('Cannot read key file', { code: 'key_unavailable', cause })
    return Promise.reject(error)
  })

  await clock.advance(TRIED_WITHIN_MS)
  assert.match(refusals()[0] ?? '', /it is tried again in 30 s: Cannot read key file/)
  there = true
  await clock.advance(RETRY_MS + TRIED_WITHIN_MS)
  assert.is(events.noticesOf('config_reloaded').length, 1)
  await follower.stop()
})

test('a config with a wrong value is refused once, until its file changes', async () => {
  await using folder = await tempFolder()
  await writeFile(folder.at('config'), '{"apiVersion":"trousseau.io/v1","kind":"Trouss')
  const { clock, follower, refusals } = follow(folder, () => Promise.resolve())

  await clock.advance(2 * RETRY_MS)
  assert.is(refusals().length, 1)
  assert.not.match(refusals()[0] ?? '', /tried again/)
  await follower.stop()
})

test.run()
