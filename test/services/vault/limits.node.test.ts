/**
 * A real server that works but does not serve us: it counts our requests against a quota, or waits
 * for an audit device that accepts nothing.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants, type FileHandle, open } from 'node:fs/promises'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { KmsError } from '../../../src/base/errors.ts'
import { firstVersion } from '../../_lib/services/vault/key_server.ts'
import { type OpenBao, startOpenBao } from '../../_lib/services/vault/openbao.ts'
import { vaultProvider } from '../../_lib/services/vault/provider.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { rejection, suite } from '../../_lib/uvu.ts'
import { until } from '../../_lib/wait.ts'

const SEED = Buffer.from('0123456789abcdef0123456789abcdef')
const BOUND = Buffer.alloc(32, 0xd1)
const LIMIT_MS = 1_500
/** For a loaded machine. */
const SLACK_MS = 10_000
const PIPE_BYTES = 4_096

const test = suite('services/vault/limits', () => ({}))

for (const headers of [true, false]) {
  const how = headers ? 'with Retry-After' : 'without Retry-After'
  test(`a quota that is used up (429 ${how}) is throttled, for the key too, and over when the quota is`, async () => {
    await using folder = await tempFolder()
    await using bao = await startOpenBao()
    const transit = await bao.setupTransit({ folder: folder.path })
    await using provider = vaultProvider(transit.provider)
    const wrapped = await provider.wrap(firstVersion(), SEED, BOUND)
    const quota = { path: `${transit.mount}/`, rate: 1, interval: '1h' }
    await bao.request('POST', 'sys/quotas/config', { enable_rate_limit_response_headers: headers })
    await bao.request('POST', 'sys/quotas/rate-limit/few', quota)

    const first = await until('the quota is used up', () =>
      failureOf(provider.wrap(firstVersion(), SEED, BOUND)),
    )
    const others = [
      await rejection(provider.unwrap(firstVersion(), wrapped, BOUND)),
      await rejection(provider.keyState()),
    ]
    await bao.request('DELETE', 'sys/quotas/rate-limit/few')

    for (const error of [first, ...others]) {
      assert.instance(error, KmsError)
      assert.is((error as KmsError).code, 'throttled')
    }
    assert.equal(await provider.unwrap(firstVersion(), wrapped, BOUND), SEED)
  })
}

test('an audit device that takes nothing blocks the server: requests end within their limit as timeout, and work when it takes again', async () => {
  await using folder = await tempFolder()
  await using pipe = await auditPipe(folder.at('audit'))
  await using bao = await startOpenBao({ audit: pipe.path })
  const transit = await bao.setupTransit({ folder: folder.path })
  await using provider = vaultProvider(transit.provider, LIMIT_MS)
  const wrapped = await provider.wrap(firstVersion(), SEED, BOUND)

  await pipe.block()
  const start = performance.now()
  const errors = await Promise.all([
    rejection(provider.wrap(firstVersion(), SEED, BOUND)),
    rejection(provider.unwrap(firstVersion(), wrapped, BOUND)),
    rejection(provider.keyState()),
  ])
  const tookMs = performance.now() - start
  const health = await healthOf(bao)
  pipe.release()

  for (const error of errors) {
    assert.instance(error, KmsError)
    assert.is((error as KmsError).code, 'timeout')
  }
  assert.ok(tookMs < LIMIT_MS + SLACK_MS, `took ${tookMs} ms`)
  assert.is(health, 200, 'the server itself says that all is well')
  await until('it works again', () =>
    provider.unwrap(firstVersion(), wrapped, BOUND).then(
      () => true,
      () => false,
    ),
  )
})

test.run()

function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  )
}

async function healthOf({ address }: OpenBao): Promise<number> {
  return (await fetch(`${address}/v1/sys/health`)).status
}

/** A pipe as audit file, which somebody empties until `block`. */
async function auditPipe(path: string) {
  await promisify(execFile)('mkfifo', ['--mode=0600', path])
  // For reading too, so that opening waits for nobody and the reader never sees an end.
  const file = await open(path, constants.O_RDWR | constants.O_NONBLOCK)
  const reader = spawn('cat', [path], { stdio: 'ignore' })
  return {
    path,
    async block() {
      reader.kill('SIGSTOP')
      await fill(file)
    },
    release: () => reader.kill('SIGCONT'),
    async [Symbol.asyncDispose]() {
      const closed = once(reader, 'close')
      reader.kill('SIGKILL')
      await closed
      await file.close()
    },
  }
}

/** To its last byte, so that not even a part of a line fits. */
async function fill(file: FileHandle): Promise<void> {
  for (const size of [PIPE_BYTES, 1]) {
    await until(
      'the pipe is full',
      () =>
        file.write(Buffer.alloc(size, '\n')).then(
          () => false,
          (error: NodeJS.ErrnoException) => error.code === 'EAGAIN',
        ),
      { everyMs: 0 },
    )
  }
}
