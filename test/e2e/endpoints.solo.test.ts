/**
 * Two sockets of one plugin, each with its own provider and protection: what happens to
 * one does not touch the other.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { createServer } from 'node:net'
import * as assert from 'uvu/assert'
import { connectKms } from '../../src/grpc/client.ts'
import { figure } from '../_lib/figure.ts'
import { adminPage } from '../_lib/plugin/admin_page.ts'
import { type Kind, KmsLoad } from '../_lib/plugin/kms_load.ts'
import { type PluginProcess, startPluginProcess } from '../_lib/plugin/process.ts'
import { rolesOf, statuszOf } from '../_lib/plugin/statusz_page.ts'
import { type KeyServices, startKeyServices } from '../_lib/services/key_services.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const SEED = Buffer.from('0123456789abcdef0123456789abcdef')
const KINDS = ['status', 'encrypt_v2', 'encrypt_v1', 'decrypt_v2', 'decrypt_v1'] as const
const MEASURED = 150
/** A neighbour whose key service hangs may cost at most so much, in times of the median. */
const MAX_RATIO = 3

const test = suite('e2e/endpoints', () => ({}))

function start(services: KeyServices): Promise<PluginProcess> {
  const { folder, a, b, local } = services
  const protection = { mode: 'any', holdTime: '2s', returnTime: '3s' }
  return startPluginProcess({
    folder: folder.path,
    config: {
      socket: undefined,
      endpoints: [
        { name: 'secrets', socket: { path: folder.at('kms.sock') }, providers: ['a', 'local'] },
        {
          name: 'others',
          socket: { path: folder.at('others.sock') },
          providers: ['b', 'local'],
          protection: { ...protection, mode: 'threshold', k: 2 },
        },
      ],
      providers: [a.provider, b.provider, local.provider],
      protection,
      health: { interval: '1s' },
      admin: { listen: `unix://${folder.at('admin.sock')}` },
    },
  })
}

type Client = ReturnType<typeof connectKms>

function connect(path: string): Client & Disposable {
  const client = connectKms(path, { timeoutMs: 10_000 })
  return Object.assign(client, { [Symbol.dispose]: () => client.close() })
}

async function healthy({ v2 }: Client): Promise<string> {
  return await until('it is healthy', () =>
    v2.status().then(
      ({ keyId }) => keyId,
      () => undefined,
    ),
  )
}

test('each socket has its own key id and protection, and opens nothing of the other', async () => {
  await using services = await startKeyServices()
  await using plugin = await start(services)
  using others = connect(services.folder.at('others.sock'))

  const keyIds = [await healthy(plugin.client), await healthy(others)]
  const made = await plugin.client.v2.encrypt({ plaintext: SEED, uid: 'one' })
  const theirs = await others.v2.encrypt({ plaintext: SEED, uid: 'two' })

  assert.match(keyIds[0] ?? '', /^tr1-any-v1\+v1-/)
  assert.match(keyIds[1] ?? '', /^tr1-2of2-v1\+v1-/)
  assert.equal([made.keyId, theirs.keyId], keyIds)
  const error = await rejection(plugin.client.v2.decrypt({ ...theirs, uid: 'one' }))
  assert.match((error as Error).message, /^Only 1 configured providers, of 2 that are needed/)
  const { plaintext } = await others.v2.decrypt({ ...theirs, uid: 'two' })
  assert.equal(Buffer.from(plaintext), SEED)
})

for (const outage of ['frozen', 'killed'] as const) {
  test(`a key service of one endpoint is ${outage}: the other one neither fails nor becomes slow`, async () => {
    await using services = await startKeyServices()
    await using plugin = await start(services)
    const { folder, b } = services
    const page = (name: string) => statuszOf(folder.at('admin.sock'), name)
    using others = connect(folder.at('others.sock'))
    await healthy(plugin.client)
    const theirKeyId = await healthy(others)
    await using load = new KmsLoad(plugin.socketPath)
    // They ask on while their key service is away.
    await using theirs = new KmsLoad(folder.at('others.sock'), { opens: () => false })
    const well = await medians(load)

    await b.stop(outage)
    await until('the other endpoint notices', async () => (await page('others')).state === 'held')
    const meanwhile = await medians(load)
    await until('the other endpoint fails', () => theirs.failures('encrypt_v2').length > 0)

    for (const kind of KINDS) assert.equal(load.failures(kind), [], kind)
    const ratios = KINDS.map((kind) => meanwhile[kind] / well[kind])
    figure(
      `other endpoint's key service ${outage}: medians ${KINDS.map((kind, index) => `${kind} ${ratios[index]?.toFixed(2)}`).join(', ')} times those of before`,
    )
    assert.ok(Math.max(...ratios) < MAX_RATIO, `${ratios.join(', ')} times`)
    assert.is((await page('secrets')).state, 'ok')
    assert.equal(rolesOf(await page('secrets')), { a: 'writes', local: 'writes' })
    assert.match(await adminPage(folder.at('admin.sock'), '/readyz'), /^others: /)
    assert.is((await others.v2.status()).keyId, theirKeyId)

    await b.start()
    await until('the other endpoint is well', async () => (await page('others')).state === 'ok')
    assert.is(await adminPage(folder.at('admin.sock'), '/readyz'), 'ok\n')
    assert.equal(theirs.failures('status'), [])
  })
}

/** Of so many requests from now on, in milliseconds. */
async function medians(load: KmsLoad): Promise<Record<Kind, number>> {
  const since = performance.now()
  await until('enough is measured', () =>
    KINDS.every((kind) => load.of(kind, since).length >= MEASURED),
  )
  const median = (kind: Kind) => {
    const times = load.of(kind, since).map((each) => each.end - each.start)
    return times.toSorted((one, two) => one - two)[Math.floor(times.length / 2)] ?? 0
  }
  return Object.fromEntries(KINDS.map((kind) => [kind, median(kind)])) as Record<Kind, number>
}

test('an endpoint whose socket another process has leaves the other one serving, is named by /readyz, and has its socket by itself once it is free', async () => {
  await using services = await startKeyServices()
  const { folder } = services
  const occupant = createServer().listen(folder.at('others.sock'))
  await once(occupant, 'listening')
  await using plugin = await start(services)
  await healthy(plugin.client)
  await using load = new KmsLoad(plugin.socketPath)

  const [said] = await plugin.told('endpoint_failed')
  assert.match(String(said?.['message']), /^Endpoint "others" cannot have its socket/)
  const ready = await until('/readyz tells of nothing else', async () => {
    const text = await adminPage(folder.at('admin.sock'), '/readyz')
    return text.includes('No answer') ? undefined : text
  })
  assert.match(ready, /^others: Cannot listen on .*others\.sock": another process answers there/)
  occupant.close()
  await once(occupant, 'close')
  using others = connect(folder.at('others.sock'))
  await until('it has its socket', () => others.v2.status().catch(() => undefined))

  const made = await others.v2.encrypt({ plaintext: SEED, uid: 'two' })
  const { plaintext } = await others.v2.decrypt({ ...made, uid: 'two' })
  assert.equal(Buffer.from(plaintext), SEED)
  assert.is(await adminPage(folder.at('admin.sock'), '/readyz'), 'ok\n')
  await load.stop()
  for (const kind of KINDS) assert.equal(load.failures(kind), [], kind)
  assert.is(await plugin.stop(), 0)
})

test.run()
