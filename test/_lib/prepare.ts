/**
 * Brings and builds what the tests run, once and ahead of them: a test waits for what it
 * started, and no test for a download or a compiler beside others. What cannot be had
 * fails the tests that need it, and no others.
 *
 * @module
 */

import process from 'node:process'
import { debianTool } from './debian.ts'
import { buildGoClient } from './go/client.ts'
import { buildGoProgram } from './go/program.ts'
import { opaBinary } from './policy/opa.ts'
import { installMoto } from './services/aws/moto.ts'
import { keyServerBinary } from './services/vault/key_server.ts'

/** What takes less was there. */
const WORTH_TELLING_S = 1

for (const [name, prepare] of [
  ['key server', keyServerBinary],
  ['moto', installMoto],
  ['TPM', () => debianTool('swtpm')],
  ['tools for a TPM', () => debianTool('tpm2-tools')],
  ['Open Policy Agent', opaBinary],
  ['client in Go', buildGoClient],
  ['client of SPIFFE in Go', () => buildGoProgram('spiffe_client')],
  ['checks of OpenShift in Go', () => buildGoProgram('openshift_checks')],
  ['receiver of the OpenTelemetry Collector', () => buildGoProgram('otlp_collector')],
] as const) {
  const start = performance.now()
  try {
    await prepare()
    const seconds = Math.round((performance.now() - start) / 1000)
    if (seconds >= WORTH_TELLING_S) process.stdout.write(`${name}: there after ${seconds} s\n`)
  } catch (error) {
    process.stdout.write(`${name}: not to be had: ${String(error)}\n`)
  }
}
