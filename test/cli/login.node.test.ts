/** `trousseau login keygen`, and what it prints at work in the real OpenBao. @module */

import { readFile, stat } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { parse } from 'yaml'
import { runProgram } from '../../src/cli/program.ts'
import { withinLimit } from '../../src/kms/call.ts'
import { systemClock } from '../../src/kms/clock.ts'
import { createVaultProvider } from '../../src/providers/vault.ts'
import { vaultConfig } from '../../src/providers/vault_config.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { memoryIo } from '../_lib/memory_io.ts'
import { startOpenBao } from '../_lib/openbao.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const LIMIT_MS = 2_500
const test = suite('cli/login', () => ({}))

for (const type of ['ES256', 'EdDSA']) {
  test(`keygen --type ${type}: what it prints, put into OpenBao and the config, logs in`, async () => {
    await using folder = await tempFolder()
    await using bao = await startOpenBao()
    const transit = await bao.setupTransit({ folder: folder.path })
    const file = folder.at('node-key')
    const io = memoryIo()
    const flags = ['--type', type, '--claim', 'node=cp-1', '--policy', transit.policy]

    const code = await runProgram(['login', 'keygen', file, ...flags], io)

    assert.is(code, 0)
    assert.is((await stat(file)).mode & 0o777, 0o600)
    const secret = (await readFile(file, 'utf8')).split('\n')[1] ?? ''
    assert.not.match(io.printed(), secret)
    await bao.request('POST', 'sys/auth/jwt', { type: 'jwt' })
    for (const [, path = '', body = ''] of io
      .printed()
      .matchAll(/^ {2}vault write (\S+) - <<'JSON'\n(.*)\nJSON$/gm)) {
      await bao.request('POST', path, JSON.parse(body))
    }
    const { auth } = parse(io.printed().slice(io.printed().indexOf('  auth:')))
    const config = { name: 'v', type: 'vault', allowInsecureHttp: true, ...transit.provider, auth }
    const events = new RecordedEvents()
    const deps = { clock: systemClock, events, requestTimeoutMs: LIMIT_MS }
    const provider = createVaultProvider(v.parse(vaultConfig, config), deps)
    try {
      const state = await withinLimit(systemClock, LIMIT_MS, (call) => provider.keyState(call))
      assert.is(state.versions.length, 1)
    } finally {
      await provider.close()
    }
  })
}

test('a key that is there already is never overwritten', async () => {
  await using folder = await tempFolder()
  const file = folder.at('node-key')
  await runProgram(['login', 'keygen', file], memoryIo())
  const before = await readFile(file, 'utf8')
  const io = memoryIo()

  const code = await runProgram(['login', 'keygen', file], io)

  assert.is(code, 1)
  assert.match(io.complained(), /is there already, and nothing is overwritten/)
  assert.is(await readFile(file, 'utf8'), before)
})

test('a claim without a value is wrong usage', async () => {
  const io = memoryIo()

  const code = await runProgram(['login', 'keygen', '/nonexistent/key', '--claim', 'node'], io)

  assert.is(code, 2)
  assert.match(io.complained(), /NAME=VALUE/)
})

test.run()
