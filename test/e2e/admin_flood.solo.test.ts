/**
 * A thousand hostile connections to the admin server, while API servers go on asking: each request
 * is answered, and what the slowest take stays within what they take without.
 *
 * @module
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { request } from 'node:http'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { figure } from '../_lib/figure.ts'
import { freePort } from '../_lib/free_port.ts'
import { serves, startLocalPlugin } from '../_lib/plugin/local_plugin.ts'
import { NODE, type PluginProcess } from '../_lib/plugin/process.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const test = suite('e2e/admin_flood', () => ({}))

const FLOOD = fileURLToPath(new URL('../_lib/plugin/admin_flood.ts', import.meta.url))
const ROUNDS = 5
const CALLS = 300
/** What two busy programs beside it may do to the slowest of some hundred calls. */
const MOST = 6

function flood(port: number) {
  const child = spawn(NODE, [FLOOD, String(port)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'close')
  let seen: Record<string, number> = {}
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    seen = JSON.parse(text.trim().split('\n').at(-1) ?? '{}')
  })
  return {
    seen: () => seen,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

/** Milliseconds of the slowest of a hundred. */
async function p99(plugin: PluginProcess): Promise<number> {
  const plaintext = new Uint8Array(32).fill(7)
  const took: number[] = []
  for (let call = 0; call < CALLS; call += 1) {
    const start = performance.now()
    await plugin.client.v2.encrypt({ uid: `u${call}`, plaintext })
    took.push(performance.now() - start)
  }
  return took.sort((one, two) => one - two)[Math.floor(CALLS * 0.99)] ?? 0
}

function median(values: readonly number[]): number {
  return [...values].sort((one, two) => one - two)[Math.floor(values.length / 2)] ?? 0
}

async function statusOf(port: number, path: string): Promise<number | undefined> {
  const asked = request({ port, host: '127.0.0.1', path, headers: { host: 'localhost' } }).end()
  const [answer] = await once(asked, 'response')
  answer.resume()
  return answer.statusCode
}

test('a thousand hostile connections hold up no request of an API server, and no probe', async () => {
  await using folder = await tempFolder()
  const port = await freePort()
  const config = { admin: { listen: `127.0.0.1:${port}` } }
  await using plugin = await startLocalPlugin(folder, { config })
  await serves(plugin)
  await p99(plugin)
  const [quiet, beset]: [number[], number[]] = [[], []]

  for (let round = 0; round < ROUNDS; round += 1) {
    quiet.push(await p99(plugin))
    await using hostile = await flood(port)
    await until('all are connected, and asked for everything', () => {
      const { connected = 0, ...statuses } = hostile.seen()
      return (
        connected >= 1_000 &&
        ['200', '400', '403', '404', '405', '431'].every((each) => each in statuses)
      )
    })
    beset.push(await p99(plugin))
    assert.is(await statusOf(port, '/livez'), 200)
    assert.is(await statusOf(port, '/readyz/keys'), 200)
    assert.is(hostile.seen()['LEAKED'], undefined)
    if (round === 0) figure(`answers of the admin server: ${JSON.stringify(hostile.seen())}`)
  }

  const ratio = median(beset) / median(quiet)
  const list = (values: readonly number[]) => values.map((ms) => ms.toFixed(2)).join(', ')
  figure(
    `p99 of Encrypt in ms, quiet ${list(quiet)}; beset ${list(beset)}; ratio of medians ${ratio.toFixed(2)}`,
  )
  assert.ok(ratio < MOST, `ratio ${ratio}`)
  assert.equal(plugin.events('admin_failed'), [])
})

test.run()
