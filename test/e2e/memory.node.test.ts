/**
 * What a core dump of the plugin would hold: docs/security-review.md, "What is in memory". The C
 * library overwrites what is freed, as it does under the unit and in the image.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import { figure } from '../_lib/figure.ts'
import { type PluginProcess, startWellPlugin } from '../_lib/plugin/process.ts'
import { findInMemory } from '../_lib/plugin/process_memory.ts'
import { startFakeVault } from '../_lib/services/vault/fake.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const SEEDS = 10
/** What other API servers ask for meanwhile. */
const OTHERS = 200
const AT_ONCE = 20
/** On a machine that is as busy as can be; it takes some seconds. */
const LIMITS = { limitMs: 250_000 }
/** In one run of some ten, one copy of one seed stays for as long as anybody looked; in what is not known. */
const STAYING = 1
const OVERWRITES = { GLIBC_TUNABLES: 'glibc.malloc.perturb=165' }

const test = suite('e2e/memory', () => ({}))

async function roundTrip({ client }: PluginProcess, plaintext: Uint8Array): Promise<void> {
  const made = await client.v2.encrypt({ plaintext, uid: 'memory' })
  const opened = await client.v2.decrypt({ ...made, uid: 'memory' })
  assert.equal(Buffer.from(opened.plaintext), Buffer.from(plaintext))
}

/** As bytes, and as the text in which they go to a key service. */
function formsOf(seeds: readonly Uint8Array[]): [bytes: Buffer[], text: Buffer[]] {
  const bytes = seeds.map((seed) => Buffer.from(seed))
  return [bytes, bytes.map((seed) => Buffer.from(seed.toString('base64')))]
}

/** How many of them are found. */
function countIn({ pid }: PluginProcess, all: readonly Uint8Array[]): number {
  const found = findInMemory(pid, Object.fromEntries(all.map((each, at) => [String(at), each])))
  return Object.values(found).filter((times) => times > 0).length
}

test('next to no byte of a seed stays in what was freed, and the key of a key file, a token and a secret id do', async () => {
  await using folder = await tempFolder()
  await using vault = await startFakeVault()
  const approle = await vault.setupApprole(folder.path)
  const keyFile = folder.at('keys')
  const { keys } = await createKeyFile(keyFile, Date.now)
  await using plugin = await startWellPlugin({
    folder: folder.path,
    environment: OVERWRITES,
    config: {
      providers: [
        { name: 'here', type: 'local', keyFile },
        { name: 'vault', type: 'vault', allowInsecureHttp: true, ...approle.provider },
      ],
    },
  })
  const [bytes, text] = formsOf(Array.from({ length: SEEDS }, () => randomBytes(32)))

  for (const seed of bytes) await roundTrip(plugin, seed)
  figure(`of ${SEEDS} seeds right after use: ${countIn(plugin, bytes)} as bytes`)
  const others = async () => {
    for (let at = 0; at < OTHERS; at += AT_ONCE) {
      const group = Array.from({ length: AT_ONCE }, () => roundTrip(plugin, randomBytes(32)))
      await Promise.all(group)
    }
    const left = countIn(plugin, bytes)
    return left <= STAYING && { left, text: countIn(plugin, text) }
  }
  const { left, text: asText } = await until('next to none is left as bytes', others, LIMITS)
  figure(`and then: ${left} as bytes, ${asText} as text on the heap of V8`)

  const tokens = vault.nodes.flatMap(({ requests }) =>
    requests.flatMap(({ headers }) => headers['x-vault-token'] ?? []),
  )
  const held = [keys[0]?.key ?? new Uint8Array(32), Buffer.from(String(tokens.at(-1)))]
  assert.is(countIn(plugin, held), 2, 'the finder finds what is held')
  const secretId = (await readFile(approle.secretIdFile, 'utf8')).trim()
  figure(`the secret id: ${countIn(plugin, [Buffer.from(secretId)]) === 1 ? 'found' : 'gone'}`)
  assert.is(await plugin.stop(), 0, plugin.output())
})

test.run()
