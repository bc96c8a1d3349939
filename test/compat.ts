/**
 * `npm run test:compat`: each version that the plugin is said to work with, in place of the one that
 * the other tests use, and what tells whether it does. Parts of names choose among the rows; without
 * any all are run. Programs are built or brought once. The last lines are the table.
 *
 * @module
 */

import process from 'node:process'
import { parseArgs } from 'node:util'
import { etcdBinaries, kubernetesBinaries } from './_lib/cluster/binaries.ts'
import { nodeProgram } from './_lib/node_program.ts'
import { type Counts, runTests, timed } from './_lib/run_tests.ts'
import { OPENBAO_VERSIONS } from './_lib/services/vault/key_server.ts'

interface Row {
  readonly name: string
  /** What `test/run.ts` is called with. */
  readonly tests: readonly string[]
  readonly environment: () => Promise<Readonly<Record<string, string>>>
}

const OF_KUBERNETES = [
  'cluster/encryption.',
  'cluster/v1_to_v2.',
  'cluster/rotation.',
  'cluster/outage.',
]
const OF_ETCD = [
  'cluster/encryption.',
  'cluster/etcd_sources.',
  'cluster/scan.',
  'cluster/recover.',
]
const OF_OPENBAO = [
  'services/vault/contract',
  'services/vault/key_types',
  'services/vault/login/login',
  'services/vault/setup/logins',
  'e2e/logins',
  'e2e/outage',
  'e2e/rotation.',
  'e2e/vault_',
]
const OF_NODE = [
  'e2e/outage',
  'e2e/reload',
  'e2e/rotation.',
  'e2e/secrets',
  'e2e/metrics',
  'e2e/policy.',
]

const KUBERNETES = ['1.31', '1.32', '1.33', '1.34', '1.35', '1.36', '1.37'] as const
const ETCD = ['3.5', '3.6', '3.7'] as const
const NODES = ['24.22.3', '26.10.0'] as const

const ROWS: readonly Row[] = [
  ...OPENBAO_VERSIONS.map((version) => ({
    name: `OpenBao ${version}`,
    tests: OF_OPENBAO,
    environment: () => Promise.resolve({ TEST_KEY_SERVICE: `openbao-${version}` }),
  })),
  ...NODES.map((version) => ({
    name: `Node ${version}`,
    tests: OF_NODE,
    environment: async () => ({ TEST_NODE: await nodeProgram(version) }),
  })),
  ...ETCD.map((version) => ({
    name: `etcd ${version}`,
    tests: ['--group', 'cluster', ...OF_ETCD],
    environment: () => etcdBinaries(version).then(() => ({ ETCD_VERSION: version })),
  })),
  ...KUBERNETES.map((version) => ({
    name: `Kubernetes ${version}`,
    tests: ['--group', 'cluster', ...OF_KUBERNETES],
    environment: () => kubernetesBinaries(version).then(() => ({ KUBERNETES_VERSION: version })),
  })),
]

const { positionals } = parseArgs({ allowPositionals: true })
const chosen = ROWS.filter(
  ({ name }) => positionals.length === 0 || positionals.some((part) => name.includes(part)),
)
if (chosen.length === 0) {
  throw new Error(`No row is called ${positionals}: there are ${ROWS.map(({ name }) => name)}`)
}
const told: string[] = []
const total = { passed: 0, failed: 0 }
for (const row of chosen) {
  const [{ passed, failed }, seconds] = await timed(() => run(row))
  told.push(`${row.name}: ${passed} passed, ${failed} failed in ${seconds} s`)
  total.passed += passed
  total.failed += failed
}
process.stdout.write(`${told.join('\n')}\n${total.passed} passed, ${total.failed} failed\n`)
process.exit(total.failed > 0 ? 1 : 0)

async function run({ name, tests, environment }: Row): Promise<Counts> {
  process.stdout.write(`${name} …\n`)
  try {
    return await runTests(tests, await environment())
  } catch (error) {
    process.stdout.write(`${name}: ${error}\n`)
    return { passed: 0, failed: 1 }
  }
}
