import * as assert from 'uvu/assert'
import { parseConfig } from '../../../src/config/load.ts'
import { connectKms } from '../../../src/grpc/client.ts'
import { startPlugin } from '../../../src/plugin/plugin.ts'
import { createKeyFile } from '../../../src/services/local/key_file.ts'
import type { RuleFinding } from '../../../src/tools/conformance/rule.ts'
import { checkConformance } from '../../../src/tools/conformance/rules.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'
import { until } from '../../_lib/wait.ts'

const test = suite('tools/conformance/run', () => ({}))

/** All that this plugin gives no occasion to see. */
const SKIPPED = ['E5', 'E6', 'D5']

/** How fast Status answers is the machine's doing; the bench measures it. */
const TIMED = 'S12'

const findings = await ownFindings()

for (const { rule, title, result, detail } of findings) {
  if (SKIPPED.includes(rule) || rule === TIMED) continue
  test(`check finds in Trousseau itself: ${title} [${rule}]`, () => {
    assert.is(`${result} ${result === 'pass' ? '' : detail}`.trim(), 'pass')
  })
}

test('check skips in Trousseau only what its lack of annotations hides', () => {
  const skipped = findings.filter(({ result }) => result === 'skipped')

  assert.equal(
    skipped.map(({ rule }) => rule),
    SKIPPED,
  )
})

async function ownFindings(): Promise<RuleFinding[]> {
  await using folder = await tempFolder()
  const keyFile = folder.at('keys')
  await createKeyFile(keyFile, () => Date.now())
  const config = parseConfig(
    {
      apiVersion: 'trousseau.io/v1',
      kind: 'TrousseauConfig',
      socket: { path: folder.at('kms.sock') },
      providers: [{ name: 'here', type: 'local', keyFile }],
    },
    'test',
  )
  const plugin = await startPlugin(config, { emit: () => undefined })
  try {
    await until('the plugin is healthy', () => isHealthy(plugin.socketPaths[0] ?? ''))
    return await checkConformance(plugin.socketPaths[0] ?? '', { timeoutMs: 3_000, idleMs: 1_000 })
  } finally {
    await plugin.close()
  }
}

async function isHealthy(path: string): Promise<boolean> {
  const client = connectKms(path, { timeoutMs: 1_000 })
  try {
    return (await client.v2.status()).healthz === 'ok'
  } catch {
    return false
  } finally {
    client.close()
  }
}

test.run()
