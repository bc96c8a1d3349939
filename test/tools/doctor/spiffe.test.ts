/** What doctor says of a login with a SPIFFE agent: at a cold boot, without its socket, and of an agent that issues nothing. */

import { writeFile } from 'node:fs/promises'
import { status } from '@grpc/grpc-js'
import * as assert from 'uvu/assert'
import { runProgram } from '../../../src/cli/program.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { type FakeSpiffe, startFakeSpiffe } from '../../_lib/remote/fake_spiffe.ts'
import { type TempFolder, tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'

interface Finding {
  readonly id: string
  readonly level: string
  readonly what: string
}

const test = suite('tools/doctor/spiffe', () => ({}))

async function examined(folder: TempFolder, ...flags: string[]): Promise<readonly Finding[]> {
  const spiffe = { socket: `unix://${folder.at('agent.sock')}`, audience: 'vault' }
  const provider = {
    name: 'bao',
    type: 'vault',
    // Nobody listens there: whoever cannot log in does not ask it.
    address: 'http://127.0.0.1:1',
    allowInsecureHttp: true,
    key: 'k8s-etcd',
    auth: { method: 'jwt', role: 'trousseau', spiffe },
  }
  const config = {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: folder.at('kms.sock') },
    providers: [provider],
  }
  await writeFile(folder.at('config.json'), JSON.stringify(config))
  const io = memoryIo()
  await runProgram(['doctor', '--config', folder.at('config.json'), '--json', ...flags], io)
  assert.is(io.complained(), '')
  return (JSON.parse(io.printed()) as { findings: Finding[] }).findings
}

/** What doctor says of the provider that it tried. */
async function tried(folder: TempFolder): Promise<Finding | undefined> {
  return (await examined(folder)).find(({ id }) => id.startsWith('provider'))
}

test('doctor tells of the cold boot, and of no socket where there is one', async () => {
  await using folder = await tempFolder()
  await using _spiffe = await startFakeSpiffe(folder.at('agent.sock'))

  const findings = await examined(folder, '--offline')

  assert.is(findings.find(({ id }) => id === 'boot-spiffe-agent')?.level, 'notice')
  assert.is(
    findings.find(({ id }) => id === 'agent-socket'),
    undefined,
  )
})

test('doctor misses the socket of the agent, and takes no file for one', async () => {
  await using folder = await tempFolder()
  const missed = async () =>
    (await examined(folder, '--offline')).find(({ id }) => id === 'agent-socket')

  const missing = await missed()
  await writeFile(folder.at('agent.sock'), '')
  const file = await missed()

  assert.is(missing?.level, 'error')
  assert.match(
    missing?.what ?? '',
    /agent\.sock cannot be looked at: there is no such file or folder$/,
  )
  assert.match(file?.what ?? '', /agent\.sock is no socket$/)
})

const AGENTS = {
  'issues nothing to this process': [
    ({ agent }: FakeSpiffe) => {
      agent.identities = []
    },
    'provider-denied',
    /SPIFFE agent at ".*" issues no identity to this process/,
  ],
  'is starting': [
    ({ agent }: FakeSpiffe) => {
      agent.refusal = { code: status.UNAVAILABLE, details: '' }
    },
    'provider-unusable',
    /SPIFFE agent at ".*" issues nothing now/,
  ],
  'does not answer': [
    ({ agent }: FakeSpiffe) => {
      agent.hangs = true
    },
    'provider-unusable',
    /SPIFFE agent at ".*" gave no answer within \d+ ms/,
  ],
} as const
for (const [name, [spoil, id, message]] of Object.entries(AGENTS)) {
  test(`doctor says that the agent ${name}`, async () => {
    await using folder = await tempFolder()
    await using spiffe = await startFakeSpiffe(folder.at('agent.sock'))
    spoil(spiffe)

    const finding = await tried(folder)

    assert.is(finding?.id, id)
    assert.match(finding?.what ?? '', message)
  })
}

test.run()
