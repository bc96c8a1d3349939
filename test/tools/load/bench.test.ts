import * as assert from 'uvu/assert'
import { runProgram } from '../../../src/cli/program.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { Refusal, startFakePlugin } from '../../_lib/grpc/fake_plugin.ts'
import { startPluginHere } from '../../_lib/plugin/in_process.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'
import { until } from '../../_lib/wait.ts'

const test = suite('tools/load/bench', () => ({ io: memoryIo() }))

const PHASES = ['status', 'encrypt-alone', 'decrypt-alone', 'encrypt', 'decrypt', 'restart']
const SHORT = ['--duration', '200ms', '--concurrency', '7']
const UNAVAILABLE = 14
const PLANTED = 'planted-in-an-error'

for (const api of ['v2', 'v1beta1']) {
  test(`bench measures Trousseau itself by ${api}, and says before what it does`, async ({
    io,
  }) => {
    await using plugin = await startPluginHere()

    const code = await runProgram(
      ['bench', '--socket', plugin.socketPath, ...SHORT, '--api', api],
      io,
    )

    assert.is(code, 0, io.printed())
    assert.match(io.complained(), /up to 250,000 requests\. They appear in its audit log/)
    assert.match(io.complained(), 'about 0.75 USD')
    const lines = io.printed().split('\n')
    assert.match(lines[0] ?? '', /at once +answered +failed +a second +p50 ms +p95 +p99 +max$/)
    for (const title of [api === 'v2' ? 'Status' : 'Version', 'Encrypt', 'Decrypt, one caller']) {
      assert.ok(
        lines.some((line) => line.startsWith(`${title}  `)),
        title,
      )
    }
    assert.equal([...new Set(lines.slice(0, 7).map((line) => line.length))].length, 1, 'aligned')
    assert.match(io.printed(), 'Every plaintext that was decrypted is the one that was encrypted.')
  })
}

test('bench --json reports each phase, and the restart asks seven times at once', async ({
  io,
}) => {
  let underWay = 0
  let most = 0
  await using plugin = await startFakePlugin({
    decrypt: async (request, good) => {
      underWay += 1
      most = Math.max(most, underWay)
      await new Promise((resolve) => {
        setTimeout(resolve, 5)
      })
      underWay -= 1
      return good(request)
    },
  })

  const code = await runProgram(
    ['bench', '--socket', plugin.path, '--duration', '200ms', '--concurrency', '3', '--json'],
    io,
  )

  assert.is(code, 0, io.printed())
  const { phases, interrupted, api } = JSON.parse(io.printed())
  assert.is(interrupted, false)
  assert.is(api, 'v2')
  assert.equal(
    phases.map(({ phase }: { phase: string }) => phase),
    PHASES,
  )
  assert.equal(
    phases.map(({ callers }: { callers: number }) => callers),
    [3, 1, 1, 3, 3, 7],
  )
  assert.is(most, 7)
  for (const { latencyMs, succeeded, failed, perSecond } of phases) {
    assert.ok(latencyMs.p50 <= latencyMs.p95 && latencyMs.p95 <= latencyMs.p99)
    assert.ok(latencyMs.p99 <= latencyMs.max && perSecond > 0 && succeeded > 0)
    assert.is(failed, 0)
  }
})

test('bench counts failures by code, quotes nothing, and exits 3', async ({ io }) => {
  let turn = 0
  await using plugin = await startFakePlugin({
    encrypt: (_plaintext, good) => {
      turn += 1
      if (turn % 3 === 0) throw new Refusal(PLANTED, { code: UNAVAILABLE })
      return good()
    },
  })

  const code = await runProgram(['bench', '--socket', plugin.path, ...SHORT], io)

  assert.is(code, 3)
  assert.match(io.printed(), /encrypt: UNAVAILABLE, \d+ times?/)
  assert.not.match(io.printed() + io.complained(), PLANTED)
  assert.not.match(io.printed(), 'Every plaintext')
})

test('bench finds a Decrypt that gives something else back', async ({ io }) => {
  await using plugin = await startFakePlugin({ decrypt: () => new Uint8Array(32) })

  assert.is(await runProgram(['bench', '--socket', plugin.path, ...SHORT], io), 3)
  assert.match(io.printed(), /^ {2}decrypt: NOT_EQUAL, \d+ times?$/m)
})

test('bench says that nothing was decrypted where nothing can be encrypted, and does not hammer', async ({
  io,
}) => {
  let encrypts = 0
  await using plugin = await startFakePlugin({
    status: (good) => ({ ...good, healthz: 'sealed' }),
    encrypt: () => {
      encrypts += 1
      throw new Refusal('no', { code: UNAVAILABLE })
    },
  })

  assert.is(await runProgram(['bench', '--socket', plugin.path, ...SHORT], io), 3)
  assert.match(io.printed(), /^ {2}status: UNHEALTHY, \d+ times?$/m)
  assert.match(io.printed(), /^ {2}decrypt: nothing was asked/m)
  // Eight callers of 200 ms, each with at most one failure in 100 ms.
  assert.ok(encrypts <= 8 * 3, `${encrypts} Encrypts`)
})

test('bench --rate keeps to the rate and counts the wait for a slow plugin', async ({ io }) => {
  await using plugin = await startFakePlugin({
    encrypt: async (_plaintext, good) => {
      await new Promise((resolve) => {
        setTimeout(resolve, 20)
      })
      return good()
    },
  })
  const args = ['--duration', '500ms', '--concurrency', '1', '--rate', '100', '--json']

  assert.is(await runProgram(['bench', '--socket', plugin.path, ...args], io), 0, io.printed())
  assert.match(io.complained(), 'up to 250 requests')
  const [status, encrypt] = JSON.parse(io.printed()).phases
  assert.ok(status.succeeded <= 50, `${status.succeeded} in half a second`)
  // One caller and 20 ms each is half the rate: who waits for the turn waits ever longer.
  assert.ok(encrypt.latencyMs.max > 3 * 20, `${encrypt.latencyMs.max} ms`)
})

test('bench that is stopped prints what it measured and exits 130', async ({ io }) => {
  let asked = 0
  await using plugin = await startFakePlugin({
    status: (good) => {
      asked += 1
      return good
    },
  })

  const running = runProgram(['bench', '--socket', plugin.path, '--duration', '10m'], io)
  await until('Status is asked', () => asked > 100)
  io.halt()

  assert.is(await running, 130)
  assert.match(io.printed(), /^Status +16 +\d+ +0 /m)
  assert.match(io.printed(), 'Stopped before it was done')
  assert.not.match(io.printed(), 'Encrypt')
})

test('bench says who is not there, and refuses what it cannot bound', async ({ io }) => {
  await using folder = await tempFolder()
  assert.is(await runProgram(['bench', '--socket', folder.at('none.sock')], io), 1)
  assert.match(io.complained(), 'there is no such file')
  for (const [flag, value, wanted] of [
    ['--duration', '11m', 'from 100ms to 10m'],
    ['--concurrency', '257', 'from 1 to 256'],
    ['--rate', '0', 'from 1 to 100000'],
  ] as const) {
    const refused = memoryIo()
    assert.is(await runProgram(['bench', '--socket', '/x', flag, value], refused), 2)
    assert.match(refused.complained(), wanted)
  }
})

test.run()
