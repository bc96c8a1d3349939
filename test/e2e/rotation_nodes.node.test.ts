/**
 * Rotation of a key of the real OpenBao under two plugin processes, as on two nodes that
 * know nothing of each other, also where the clock of one is wrong. OpenBao's own audit
 * log says what was asked of it.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { decodeEnvelope } from '../../src/kms/envelope.ts'
import { figure } from '../_lib/figure.ts'
import { type PluginProcess, startPluginProcess } from '../_lib/plugin/process.ts'
import { clockFlags } from '../_lib/plugin/skewed_clock.ts'
import { type OpenBao, startOpenBao, type Transit } from '../_lib/services/vault/openbao.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const ACTIVATION_DELAY_MS = 4_000
/** By so much the clock of the second node is off, how often it rotates, and how far apart the nodes may switch. */
const CLOCKS = [
  { skewMs: 0, rotations: 4, limitMs: 1_000 },
  { skewMs: 40_000, rotations: 2, limitMs: 2_000 },
  { skewMs: -40_000, rotations: 2, limitMs: 2_000 },
]

const test = suite('e2e/rotation_nodes', () => ({}))

interface Made {
  readonly plaintext: Uint8Array
  readonly ciphertext: Uint8Array
  readonly keyId: string
  readonly annotations: Readonly<Record<string, Uint8Array>>
}

interface Bed extends AsyncDisposable {
  readonly bao: OpenBao
  readonly transit: Transit
  readonly nodes: readonly [PluginProcess, PluginProcess]
}

async function setup(skewMs: number): Promise<Bed> {
  const folder = await tempFolder()
  const bao = await startOpenBao({ audit: true })
  const transit = await bao.setupTransit({ folder: folder.path })
  const start = async (name: string, nodeFlags: readonly string[]) => {
    await mkdir(folder.at(name))
    return await startPluginProcess({
      folder: folder.at(name),
      nodeFlags,
      config: {
        providers: [{ name: 'bao', type: 'vault', allowInsecureHttp: true, ...transit.provider }],
        rotation: { activationDelay: `${ACTIVATION_DELAY_MS}ms` },
        health: { interval: '1s' },
      },
    })
  }
  const nodes = await Promise.all([
    start('one', []),
    start('two', await clockFlags(folder, skewMs)),
  ])
  await Promise.all(nodes.map((node) => until('it is healthy', () => keyIdOf(node))))
  return {
    bao,
    transit,
    nodes,
    async [Symbol.asyncDispose]() {
      await Promise.all(nodes.map((node) => node[Symbol.asyncDispose]()))
      await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

function keyIdOf({ client }: PluginProcess): Promise<string | undefined> {
  return client.v2.status().then(
    ({ keyId }) => keyId,
    () => undefined,
  )
}

for (const { skewMs, rotations, limitMs } of CLOCKS) {
  const how = skewMs === 0 ? 'right clocks' : `one clock off by ${skewMs / 1_000} s`
  test(`two nodes with ${how} change their key id within ${limitMs / 1_000} s of each other, with no word between them`, async () => {
    await using bed = await setup(skewMs)
    const { nodes } = bed
    await checkSkew(nodes[1], skewMs)
    const made = await Promise.all(nodes.map(encrypt))
    const apartMs: number[] = []

    for (let rotation = 0; rotation < rotations; rotation += 1) {
      apartMs.push(await rotate(bed, made))
    }

    figure(
      `${how}: ${rotations} rotations; the nodes changed ${apartMs.join(', ')} ms apart, each ${ACTIVATION_DELAY_MS} ms or more after the rotation`,
    )
    assert.ok(Math.max(...apartMs) < limitMs, `${apartMs.join(', ')} ms apart`)
    assert.is(new Set(made.map(({ keyId }) => keyId)).size, rotations + 1)
    for (const node of nodes) await checkOpensAll(node, made)
    await checkAudit(bed.bao)
  })
}

/** @returns how far apart the nodes changed their key id */
async function rotate({ bao, transit, nodes }: Bed, made: Made[]): Promise<number> {
  const [before, same] = await Promise.all(nodes.map(keyIdOf))
  assert.is(before, same)
  const rotated = performance.now()
  await bao.rotate(transit)
  const changes = await Promise.all(
    nodes.map((node) =>
      until(
        'the key id changes',
        async () => {
          const one = await encrypt(node)
          made.push(one)
          return one.keyId === before ? undefined : { at: performance.now(), keyId: one.keyId }
        },
        { everyMs: 50 },
      ),
    ),
  )
  const [one, two] = changes
  assert.is(one?.keyId, two?.keyId, 'one key id on both nodes')
  assert.equal(await Promise.all(nodes.map(keyIdOf)), [one?.keyId, one?.keyId])
  const times = changes.map(({ at }) => at)
  // Creation times have whole seconds: the version may seem up to one older than it is.
  assert.ok(Math.min(...times) - rotated > ACTIVATION_DELAY_MS - 1_000)
  return Math.round(Math.max(...times) - Math.min(...times))
}

async function encrypt({ client }: PluginProcess): Promise<Made> {
  const plaintext = randomBytes(32)
  const { ciphertext, keyId, annotations } = await client.v2.encrypt({ plaintext, uid: 'node' })
  assert.is(decodeEnvelope(ciphertext).keyId, keyId)
  return { plaintext, ciphertext, keyId, annotations }
}

/** Also what the other node made. */
async function checkOpensAll({ client }: PluginProcess, made: readonly Made[]): Promise<void> {
  for (const { plaintext, ...one } of made) {
    const opened = await client.v2.decrypt({ ...one, uid: 'node' })
    assert.equal([...opened.plaintext], [...plaintext])
  }
}

/** The log's own times show that the clock is off, as it is meant to be. */
async function checkSkew(node: PluginProcess, skewMs: number): Promise<void> {
  const [line] = await node.told('socket_listening')
  const off = Date.parse(String(line?.['time'])) - Date.now()
  assert.ok(Math.abs(off - skewMs) < 10_000, `its clock is off by ${off} ms`)
}

const encryption = v.object({
  type: v.picklist(['request', 'response']),
  request: v.object({
    data: v.strictObject({
      batch_input: v.array(v.looseObject({ key_version: v.pipe(v.number(), v.minValue(1)) })),
      partial_failure_response_code: v.literal(200),
    }),
  }),
})

/** Every encryption named its version. That it got it the provider sees: of a batch with a trial in it the service logs the whole answer hashed. */
async function checkAudit({ auditFile }: OpenBao): Promise<void> {
  const lines = (await readFile(auditFile, 'utf8')).trim().split('\n')
  const encryptions = lines
    .map((line): { request?: { path?: string } } => JSON.parse(line))
    .filter(({ request }) => request?.path?.includes('/encrypt/'))
    .map((line) => v.parse(encryption, line))
  assert.ok(encryptions.length > 100, `${encryptions.length} encryptions in the audit log`)
  const seen = new Set<number>()
  for (const { request } of encryptions) {
    for (const { key_version } of request.data.batch_input) seen.add(key_version)
  }
  assert.ok(seen.size > 1, 'both versions were encrypted with')
}

test.run()
