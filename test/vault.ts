/**
 * Runs the tests of the vault provider with HashiCorp's Vault in OpenBao's place, one version after
 * the other. `--version 1.21.0` runs only that version, and parts of paths only those files. Each
 * version is first built once, which takes some minutes. Without Go nothing can run, which is a
 * failure where CI=true.
 *
 * @module
 */

import { execFile } from 'node:child_process'
import process from 'node:process'
import { parseArgs, promisify } from 'node:util'
import { type Counts, runTests, timed } from './_lib/run_tests.ts'
import { VAULT_VERSIONS, type VaultVersion, vaultBinary } from './_lib/services/vault/binary.ts'

/** What stands on a key service, in parts of paths. Others stand on the fake, or ask OpenBao for what Vault Community has not. */
const FILES = [
  'services/vault/login/reasons',
  'services/vault/login/login',
  'services/vault/login/tokens',
  'tools/doctor/',
  'tools/keys/login_key',
  'tools/setup/run.',
  'e2e/hand_over',
  'e2e/logins',
  'e2e/openshift',
  'e2e/outage',
  'e2e/rotation',
  'e2e/takeover_vault',
  'e2e/vault_',
  'services/vault/contract',
  'services/vault/key_types',
  'services/vault/limits',
  'services/vault/setup/logins',
  'services/vault/signing_key',
]

const { values, positionals } = parseArgs({
  options: { version: { type: 'string' } },
  allowPositionals: true,
})
const files = positionals.length === 0 ? FILES : positionals
const total = { passed: 0, failed: 0 }
for (const version of versionsOf(values.version)) {
  const { passed, failed } = (await hasGo()) ? await runAll(version) : leftOut(version)
  total.passed += passed
  total.failed += failed
}
process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`)
process.exit(total.failed > 0 || total.passed === 0 ? 1 : 0)

function versionsOf(asked: string | undefined): readonly VaultVersion[] {
  if (asked === undefined) return VAULT_VERSIONS
  const known = VAULT_VERSIONS.filter((version) => version === asked)
  if (known.length > 0) return known
  throw new Error(`--version is ${asked}: wanted one of ${VAULT_VERSIONS.join(', ')}`)
}

function hasGo(): Promise<boolean> {
  return promisify(execFile)('go', ['version']).then(
    () => true,
    () => false,
  )
}

function leftOut(version: VaultVersion): Counts {
  process.stdout.write(`Vault ${version}: left out, since there is no Go to build it with\n`)
  return { passed: 0, failed: process.env['CI'] === 'true' ? 1 : 0 }
}

async function runAll(version: VaultVersion): Promise<Counts> {
  process.stdout.write(`Vault ${version} (built once, some minutes) …\n`)
  const [binary, builtS] = await timed(() => vaultBinary(version))
  const { stdout } = await promisify(execFile)(binary, ['version'])
  process.stdout.write(`${stdout.trim()}: there after ${builtS} s\n`)
  const [{ passed, failed }, ranS] = await timed(() =>
    runTests(files, { TEST_KEY_SERVICE: `vault-${version}` }),
  )
  process.stdout.write(`Vault ${version}: ${passed} passed, ${failed} failed in ${ranS} s\n`)
  return { passed, failed }
}
