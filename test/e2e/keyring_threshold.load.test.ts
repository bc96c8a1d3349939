/**
 * `threshold` with two of three, over two real OpenBao servers and a local key file: any one may be
 * away; with two away Status says so, and one alone opens nothing.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { createDecipheriv, randomBytes } from 'node:crypto'
import * as assert from 'uvu/assert'
import { decodeEnvelope, inputsOf, type OpenedEnvelope } from '../../src/kms/envelope.ts'
import { keyIdOf } from '../../src/kms/key_id.ts'
import { joinPlaintext } from '../../src/kms/shares.ts'
import { readKeyFile } from '../../src/services/local/key_file.ts'
import { figure } from '../_lib/figure.ts'
import { KmsLoad } from '../_lib/plugin/kms_load.ts'
import { type PluginProcess, startPluginProcess } from '../_lib/plugin/process.ts'
import { rolesOf, statuszOf } from '../_lib/plugin/statusz_page.ts'
import {
  type BaoService,
  type KeyServices,
  type Outage,
  type ServiceName,
  startKeyServices,
} from '../_lib/services/key_services.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const SEED = Buffer.from('0123456789abcdef0123456789abcdef')
const TWO = { scheme: 'threshold', k: 2 } as const
const HOLD_MS = 2_000
const OUTAGE_HOLD_MS = 5_000
const TRIED = 20
const ASKED = ['decrypt_v2', 'decrypt_v1', 'encrypt_v1', 'encrypt_v2'] as const
const NAMES: readonly ServiceName[] = ['a', 'b', 'local']
const WAYS: Readonly<Record<ServiceName, Outage>> = { a: 'killed', b: 'frozen', local: 'stopped' }

const test = suite('e2e/keyring_threshold', () => ({}))

interface Bed extends AsyncDisposable {
  readonly services: KeyServices
  readonly plugin: PluginProcess
  keyId(): Promise<string>
  encrypt(): Promise<Encrypted>
}

type Encrypted = Awaited<ReturnType<PluginProcess['client']['v2']['encrypt']>>

async function setup(): Promise<Bed> {
  const services = await startKeyServices()
  const { folder, a, b, local } = services
  const plugin = await startPluginProcess({
    folder: folder.path,
    config: {
      providers: [a.provider, b.provider, local.provider],
      protection: {
        mode: 'threshold',
        k: 2,
        minimumProviders: 2,
        holdTime: `${HOLD_MS}ms`,
        returnTime: '3s',
      },
      rotation: { activationDelay: '0s' },
      health: { interval: '1s', staleAfter: '10s', outageHold: `${OUTAGE_HOLD_MS}ms` },
      admin: { listen: `unix://${folder.at('admin.sock')}` },
    },
  })
  const keyId = () => plugin.client.v2.status().then((status) => status.keyId)
  await until('the plugin is healthy', () => keyId().catch(() => undefined))
  return {
    services,
    plugin,
    keyId,
    encrypt: () => plugin.client.v2.encrypt({ plaintext: SEED, uid: 'threshold' }),
    async [Symbol.asyncDispose]() {
      await plugin[Symbol.asyncDispose]()
      await services[Symbol.asyncDispose]()
    },
  }
}

test('any one of three may be away: what is stored opens at once, and writes go on with the other two', async () => {
  await using bed = await setup()
  const { services, plugin, keyId } = bed
  const { members } = decodeEnvelope((await bed.encrypt()).ciphertext)
  const idOf = (name: ServiceName) => services[name].provider.id
  const keyIdWithout = (gone: ServiceName | undefined) => {
    const stay = members.filter(({ providerId }) => gone === undefined || providerId !== idOf(gone))
    return keyIdOf(inputsOf(TWO, stay))
  }
  const away = new Set<string>()
  await using load = new KmsLoad(plugin.socketPath, { opens: (envelope) => opens(envelope, away) })
  const works = async (what: string) => {
    const since = performance.now()
    await until(what, () => ASKED.every((kind) => load.of(kind, since).length >= TRIED))
    for (const kind of ASKED) assert.equal(load.failures(kind, since), [], `${what}: ${kind}`)
  }
  assert.match(await keyId(), /^tr1-2of3-/)
  await works('with all')

  for (const name of NAMES) {
    const begin = performance.now()
    away.add(idOf(name))
    await services[name].stop(WAYS[name])
    await until(`${name} is left out`, async () => (await keyId()) === keyIdWithout(name))
    const leftMs = Math.round(performance.now() - begin)
    if (name !== 'local') assert.ok(leftMs >= HOLD_MS, `${name}: after ${leftMs} ms`)
    await works(`without ${name}`)
    const page = await statuszOf(services.folder.at('admin.sock'))
    assert.is(rolesOf(page)[name], 'left_out')
    assert.match(page.why ?? '', /^2 of /)

    await services[name].start()
    await until(`${name} is back`, async () => (await keyId()) === keyIdWithout(undefined))
    away.delete(idOf(name))
    await works(`with ${name} again`)
    const gaps = ASKED.map((kind) => `${kind} ${load.longestGapMs(kind, begin)} ms`).join(', ')
    figure(`${name} ${WAYS[name]}: left out after ${leftMs} ms; longest gap of ${gaps}`)
  }

  await load.stop()
  assert.equal(load.wrong, [])
  for (const kind of ['status', 'encrypt_v1', 'decrypt_v2', 'decrypt_v1'] as const) {
    assert.equal(load.failures(kind), [], kind)
  }
})

test('with two of three away reads and writes fail with a reason, Status after its hold too, and all work again by themselves', async () => {
  await using bed = await setup()
  const { services, plugin, keyId } = bed
  const { a, b } = services
  const full = await keyId()
  const made = await bed.encrypt()
  const decrypt = () => plugin.client.v2.decrypt({ ...made, uid: 'threshold' })
  await Promise.all([a.stop('stopped'), b.stop('killed')])

  const read = await rejection(decrypt())
  const written = await rejection(bed.encrypt())
  const v1 = await rejection(plugin.client.v1.encrypt(SEED))

  assert.is(statusOf(read), 'UNAVAILABLE')
  assert.match(
    messageOf(read),
    /^Fewer than 2 of 3 providers could open this: "[ab]": .+; "[ab]": /,
  )
  for (const error of [written, v1]) {
    assert.is(statusOf(error), 'UNAVAILABLE')
    assert.match(messageOf(error), /connect|refused|reach/i)
  }
  assert.is(await keyId(), full, 'Status keeps the key id for the hold')
  const status = await until('the hold is over', () =>
    keyId().then(
      () => undefined,
      (error: unknown) => error,
    ),
  )
  assert.is(statusOf(status), 'UNAVAILABLE')
  assert.match(messageOf(status), /^Key service has been away too long: /)
  assert.is(statusOf(await rejection(bed.encrypt())), 'UNAVAILABLE')

  await Promise.all([a.start(), b.start()])
  await until('all is well', async () => (await keyId().catch(() => undefined)) === full)
  assert.equal(Buffer.from((await decrypt()).plaintext), SEED)
})

test('one provider alone opens nothing, whoever has its key', async () => {
  await using bed = await setup()
  const { services } = bed
  const made = await bed.encrypt()
  const envelope = decodeEnvelope(made.ciphertext)
  const { sealed, digest: associatedData } = envelope
  const shares = [
    await shareAtBao(envelope, services.a),
    await shareAtBao(envelope, services.b),
    await shareAtLocal(envelope, services),
  ]

  for (const share of shares) {
    assert.is.not(share.toString('hex'), SEED.toString('hex'))
    assert.not.ok(share.includes(SEED.subarray(0, 8)), 'no part of the plaintext is in a share')
    for (const tried of [[share], [share, share], [share, otherShare(share)]]) {
      await rejection(joinPlaintext({ sealed, shares: tried, associatedData }))
    }
    // The share itself, and every 32 bytes of it, as the key of the seal.
    for (const key of [share.subarray(0, 32), share.subarray(1)]) {
      assert.throws(() => openSeal(key, envelope))
    }
  }
  const [one, two, three] = shares as [Buffer, Buffer, Buffer]
  for (const pair of [
    [one, two],
    [one, three],
    [two, three],
  ]) {
    const opened = await joinPlaintext({ sealed, shares: pair, associatedData })
    assert.equal(Buffer.from(opened), SEED)
  }
})

test('a plugin that has one of the providers, and every right there, refuses with the number that is needed', async () => {
  await using bed = await setup()
  const made = await bed.encrypt()
  const { services } = bed
  await bed.plugin.stop()
  await using alone = await startPluginProcess({
    folder: services.folder.path,
    config: { providers: [services.a.provider], protection: 'any' },
  })
  await until('the plugin is healthy', () => alone.client.v2.status().catch(() => undefined))

  const error = await rejection(alone.client.v2.decrypt({ ...made, uid: 'threshold' }))

  assert.is(statusOf(error), 'NOT_FOUND')
  assert.match(messageOf(error), /^Only 1 configured providers, of 2 that are needed, have an id/)
})

function opens({ members }: OpenedEnvelope, away: ReadonlySet<string>): boolean {
  return members.filter(({ providerId }) => !away.has(providerId)).length >= TWO.k
}

/** Opened with the root token, past the plugin. */
async function shareAtBao(envelope: OpenedEnvelope, service: BaoService): Promise<Buffer> {
  const { version, data } = wrapOf(envelope, service.provider.id)
  const { mount, key } = service.transit
  const answer = (await service.bao.request('POST', `${mount}/decrypt/${key}`, {
    ciphertext: `vault:v${version}:${Buffer.from(data).toString('base64')}`,
    associated_data: Buffer.from(envelope.digest).toString('base64'),
  })) as { data: { plaintext: string } }
  return Buffer.from(answer.data.plaintext, 'base64')
}

/** Opened with the key of the file, past the plugin. */
async function shareAtLocal(envelope: OpenedEnvelope, services: KeyServices): Promise<Buffer> {
  const { data } = wrapOf(envelope, services.local.provider.id)
  const { keys } = await readKeyFile(services.folder.at('keys'))
  const key = keys.keys[0]?.key ?? new Uint8Array()
  const opener = createDecipheriv('aes-256-gcm', key, data.subarray(0, 12))
  opener.setAAD(envelope.digest).setAuthTag(data.subarray(-16))
  return Buffer.concat([opener.update(data.subarray(12, -16)), opener.final()])
}

function wrapOf({ members, wraps }: OpenedEnvelope, id: string) {
  const index = members.findIndex(({ providerId }) => providerId === id)
  const [member, wrap] = [members[index], wraps[index]]
  if (member === undefined || wrap === undefined) throw new Error(`No wrap of ${id}`)
  return { version: member.version, data: wrap.data }
}

/** What somebody who has one share would have to guess. */
function otherShare(share: Buffer): Buffer {
  const guess = randomBytes(share.length)
  guess[share.length - 1] = ((share.at(-1) ?? 0) % 255) + 1
  return guess
}

function openSeal(key: Uint8Array, { sealed, digest }: OpenedEnvelope): Buffer {
  const opener = createDecipheriv('aes-256-gcm', key, new Uint8Array(12))
  opener.setAAD(digest).setAuthTag(sealed.subarray(-16))
  return Buffer.concat([opener.update(sealed.subarray(0, -16)), opener.final()])
}

function statusOf(error: unknown): string {
  return (error as { status: string }).status
}

function messageOf(error: unknown): string {
  return (error as Error).message
}

test.run()
