/** `npm run audit`, with npm itself and a registry of the test's own. @module */

import { execFile } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const ADVISORY = {
  ...{ id: 1, url: 'https://registry.example.org/1', title: 'Of a test', severity: 'high' },
  ...{ vulnerable_versions: '*', cwe: [], cvss: { score: 0, vectorString: null } },
}

const test = suite('build/audit', () => ({}), 120_000)

/** What the audit ends with and says, when the registry answers npm's question so. */
async function audited(status: number, answer: object): Promise<{ code: number; said: string }> {
  const registry = createServer((request, response) => {
    const isQuestion = request.url?.endsWith('/advisories/bulk') === true
    response.writeHead(isQuestion ? status : 404, { 'content-type': 'application/json' })
    response.end(JSON.stringify(isQuestion ? answer : {}))
  })
  await new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve))
  await using cache = await tempFolder()
  const { port } = registry.address() as AddressInfo
  const env = {
    ...process.env,
    npm_config_registry: `http://127.0.0.1:${port}`,
    npm_config_cache: cache.path,
  }
  try {
    return await new Promise((resolve) => {
      execFile(process.execPath, ['build/audit.ts'], { cwd: ROOT, env }, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code), said: stdout + stderr }),
      )
    })
  } finally {
    registry.close()
  }
}

test('fails for a vulnerability that the registry knows', async () => {
  const { code, said } = await audited(200, { valibot: [ADVISORY] })

  assert.is(code, 1, said)
  assert.match(said, /^PROBLEM valibot has a known vulnerability: high/m)
  assert.match(said, / 1 problems$/m)
})

test('lists what runs with its licence, and says so where the registry knows nothing', async () => {
  const { code, said } = await audited(405, {})

  assert.is(code, 0, said)
  assert.match(said, /^undici +[\d.]+ +MIT +sha512-\S+ bundled$/m)
  assert.match(said, /^protobufjs .* BSD-3-Clause +sha512-\S+ not bundled has an install script$/m)
  assert.match(said, /^\d+ packages in the bundle, 0 problems$/m)
  assert.match(said, /^Known vulnerabilities: NOT CHECKED/m)
})

test.run()
