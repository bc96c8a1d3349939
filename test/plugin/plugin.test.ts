/** The plugin between its start and its end: what is begun is ended, and nothing is put in force outside. @module */

import * as assert from 'uvu/assert'
import { type Clock, systemClock } from '../../src/base/clock.ts'
import type { KmsError } from '../../src/base/errors.ts'
import { parseConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { noStateStore, StateBook } from '../../src/kms/state.ts'
import { RunningPlugin } from '../../src/plugin/plugin.ts'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const test = suite('plugin/plugin', () => ({}))

/** Time as it is, and what was asked of it and has neither come nor been called off. */
class CountedClock implements Clock {
  readonly waiting = new Set<number>()
  readonly now = systemClock.now
  readonly monotonic = systemClock.monotonic
  readonly soon = systemClock.soon
  #asked = 0

  after(ms: number, run: () => void): () => void {
    this.#asked += 1
    const id = this.#asked
    this.waiting.add(id)
    const cancel = systemClock.after(ms, () => {
      this.waiting.delete(id)
      run()
    })
    return () => {
      this.waiting.delete(id)
      cancel()
    }
  }
}

/** A socket that was closed gives its last answers a moment; whatever else waits does so for longer than this. */
async function idle(clock: CountedClock): Promise<void> {
  await until('nothing waits', () => clock.waiting.size === 0)
}

async function configsOf(folder: TempFolder) {
  for (const name of ['one', 'two']) await createKeyFile(folder.at(name), () => Date.now())
  const of = (...names: readonly string[]) =>
    parseConfig(
      {
        apiVersion: 'trousseau.io/v1',
        kind: 'TrousseauConfig',
        socket: { path: folder.at('kms.sock') },
        requestTimeout: '60s',
        providers: names.map((name) => ({ name, type: 'local', keyFile: folder.at(name) })),
      },
      'test',
    )
  return { one: of('one'), both: of('one', 'two') }
}

function made(clock: Clock): RunningPlugin {
  const events = new RecordedEvents()
  const book = new StateBook(noStateStore, events)
  return new RunningPlugin(
    events,
    { clock, events, book, environment: {}, fetchSvids: () => Promise.resolve([]) },
    { takeOver: false, recorders: [] },
  )
}

/** Once its providers have been asked. */
async function running(config: Config) {
  const clock = new CountedClock()
  const plugin = made(clock)
  await plugin.start(config)
  await plugin.asked
  return { clock, plugin }
}

test('close() waits for no timer, also of providers that a config before had', async () => {
  await using folder = await tempFolder()
  const { one, both } = await configsOf(folder)
  const { clock, plugin } = await running(both)
  await plugin.apply(one)

  await plugin.close()

  await idle(clock)
})

test('apply() before start() is refused, and puts nothing in force', async () => {
  await using folder = await tempFolder()
  const { one } = await configsOf(folder)
  const clock = new CountedClock()

  const error = (await rejection(made(clock).apply(one))) as KmsError

  assert.is(error.code, 'unavailable')
  assert.match(error.message, /Plugin does not run/)
  assert.is(clock.waiting.size, 0)
})

test('apply() after close() is refused, and begins nothing', async () => {
  await using folder = await tempFolder()
  const { one, both } = await configsOf(folder)
  const { clock, plugin } = await running(one)
  await plugin.close()

  const error = (await rejection(plugin.apply(both))) as KmsError

  assert.is(error.code, 'unavailable')
  await idle(clock)
})

test('apply() that is under way when the plugin closes is refused, and leaves nothing behind', async () => {
  await using folder = await tempFolder()
  const { one, both } = await configsOf(folder)
  const { clock, plugin } = await running(one)
  const applied = rejection(plugin.apply(both))

  await plugin.close()

  assert.is(((await applied) as KmsError).code, 'unavailable')
  await idle(clock)
})

test.run()
