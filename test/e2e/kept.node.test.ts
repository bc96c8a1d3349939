/**
 * Whatever a plugin lives through often, nothing of it is kept. Memory that grows by a byte a second
 * is not seen in private memory for hours; on the heap it is seen at once.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import * as assert from 'uvu/assert'
import { metricSum } from '../_lib/cluster/metrics.ts'
import { figure } from '../_lib/figure.ts'
import { adminPage } from '../_lib/plugin/admin_page.ts'
import { changeConfig } from '../_lib/plugin/config_change.ts'
import { keptBy, watchedCommand } from '../_lib/plugin/heap.ts'
import { type PluginProcess, startWellPlugin } from '../_lib/plugin/process.ts'
import { startOpenBao, type Transit } from '../_lib/services/vault/openbao.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

/** The reloads are even, so that they end with the first config. */
const TIMES = { reloads: 12, revocations: 20, requests: 100, looks: 20 } as const
/** What is kept of each event grows by more, whatever timer more or fewer there is at a look. */
const MANY = Math.min(...Object.values(TIMES)) * 0.7
/** So few, since of each version that the key ever had the plugin remembers a few facts. */
const ROTATIONS = 2
/**
 * A leak grows in each round. What grows in some of them is what the first events leave behind, and
 * windows of time that fill.
 */
const MOST_ROUNDS = 8
const RELOADS = 'trousseau_config_reloads_total'

const test = suite('e2e/kept', () => ({}))

interface Scene {
  readonly plugin: PluginProcess
  readonly transit: Transit
  readonly adminSocket: string
  readonly rotate: () => Promise<void>
}

function configWith(transit: Transit, adminSocket: string, turn: number) {
  const provider = { name: 'vault', type: 'vault', allowInsecureHttp: true, ...transit.provider }
  return {
    providers: [provider],
    rotation: { activationDelay: '0s' },
    health: { interval: '1s', staleAfter: `${90 + (turn % 2)}s` },
    admin: { listen: `unix://${adminSocket}` },
  }
}

async function liveThrough({ plugin, transit, adminSocket, rotate }: Scene): Promise<void> {
  const { v2 } = plugin.client
  const reloads = async () =>
    metricSum(await adminPage(adminSocket, '/metrics'), RELOADS, { result: 'applied' })
  for (let turn = 1; turn <= TIMES.reloads; turn += 1) {
    const before = await reloads()
    await changeConfig(plugin, configWith(transit, adminSocket, turn))
    await until('the config is taken up', async () => (await reloads()) > before)
  }
  for (let turn = 0; turn < ROTATIONS; turn += 1) {
    const before = (await v2.status()).keyId
    await rotate()
    await until('the key id follows', async () => (await v2.status()).keyId !== before)
  }
  for (let turn = 0; turn < TIMES.revocations; turn += 1) {
    await transit.revokeTokens()
    await v2.encrypt({ plaintext: randomBytes(32), uid: `revoked-${turn}` })
  }
  for (let turn = 0; turn < TIMES.requests; turn += 1) {
    const made = await v2.encrypt({ plaintext: randomBytes(32), uid: `request-${turn}` })
    await v2.decrypt({ ...made, uid: `request-${turn}` })
    await v2.decrypt({ ...made, ciphertext: randomBytes(40), uid: 'junk' }).catch(() => undefined)
  }
  for (let turn = 0; turn < TIMES.looks; turn += 1) {
    for (const page of ['/statusz', '/readyz?verbose']) await adminPage(adminSocket, page)
  }
}

/** By kind, the least that it grew from one look to the next. */
function leastGrowths(looks: readonly Map<string, number>[]): [string, number][] {
  return [...(looks.at(-1)?.keys() ?? [])].map((kind) => {
    const counts = looks.map((look) => look.get(kind) ?? 0)
    return [kind, Math.min(...counts.slice(1).map((count, at) => count - (counts[at] ?? 0)))]
  })
}

test('of reloads, tokens that were revoked, requests and looks nothing stays on the heap', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path })
  const adminSocket = folder.at('admin.sock')
  await using plugin = await startWellPlugin({
    folder: folder.path,
    config: configWith(transit, adminSocket, 0),
    command: watchedCommand(folder.path),
  })
  const scene = { plugin, transit, adminSocket, rotate: () => bao.rotate(transit) }
  const looks: Map<string, number>[] = []
  const round = async () => {
    await liveThrough(scene)
    looks.push(await keptBy(plugin, folder.path))
  }
  await round()
  let grown: [string, number][]
  do {
    await round()
    grown = leastGrowths(looks).filter(([, least]) => least >= MANY)
  } while (grown.length > 0 && looks.length < MOST_ROUNDS)

  assert.equal(grown, [])
  figure(`after ${looks.length} rounds nothing had grown in each`)
  assert.is(await plugin.stop(), 0, plugin.output())
})

test.run()
