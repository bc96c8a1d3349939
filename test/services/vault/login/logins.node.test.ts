/** Each login against the real OpenBao server, with good credentials and with refused ones. @module */

import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { withinLimit } from '../../../../src/base/call.ts'
import { systemClock } from '../../../../src/base/clock.ts'
import { KmsError } from '../../../../src/base/errors.ts'
import { fetchSvids } from '../../../../src/grpc/spiffe.ts'
import { vaultConfig } from '../../../../src/services/vault/config.ts'
import { createVaultProvider } from '../../../../src/services/vault/provider.ts'
import { RecordedEvents } from '../../../_lib/events.ts'
import { firstVersion } from '../../../_lib/services/vault/key_server.ts'
import { LOGIN_SCENES } from '../../../_lib/services/vault/login_setup.ts'
import { startOpenBao } from '../../../_lib/services/vault/openbao.ts'
import { tempFolder } from '../../../_lib/temp_folder.ts'
import { rejection, suite } from '../../../_lib/uvu.ts'

const ITEM = { plaintext: Buffer.from('plaintext'), associatedData: Buffer.alloc(32) }
const test = suite('services/vault/login/logins', () => ({}))

async function setup(name: string) {
  const folder = await tempFolder()
  const bao = await startOpenBao({ tls: true })
  const transit = await bao.setupTransit({ folder: folder.path })
  const scene = await LOGIN_SCENES[name]?.({ bao, transit, folder })
  if (scene === undefined) throw new Error(`No scene ${name}`)
  const events = new RecordedEvents()
  const config = v.parse(vaultConfig, {
    name: 'v',
    type: 'vault',
    ...transit.provider,
    auth: scene.auth,
    tls: { caFile: bao.caFile, ...scene.tls },
  })
  const provider = createVaultProvider(config, {
    clock: systemClock,
    events,
    requestTimeoutMs: 2_500,
    fetchSvids,
  })
  return {
    scene,
    events,
    /** One encryption, under one key version. */
    use: () =>
      withinLimit(systemClock, 2_500, (call) => provider.wrap(firstVersion(), [ITEM], call)),
    logins: () => events.of('token').filter(({ action }) => action === 'login'),
    async [Symbol.asyncDispose]() {
      await provider.close()
      await scene.close?.()
      await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

for (const name of Object.keys(LOGIN_SCENES)) {
  test(`${name}: logs in once, is told when it is refused, and follows new credentials`, async () => {
    await using one = await setup(name)

    const [outcome] = await one.use()
    assert.ok(outcome?.ok)
    assert.equal(
      one.logins().map(({ code }) => code),
      ['ok'],
    )

    await one.scene.spoil()
    await one.scene.revoke()
    for (let turn = 0; turn < 3; turn += 1) {
      const error = await rejection(one.use())
      assert.instance(error, KmsError)
      assert.is((error as KmsError).code, 'denied')
    }
    const refused = one.logins().filter(({ code }) => code !== 'ok')
    assert.ok(refused.length <= 1, `${refused.length} refused logins`)

    await one.scene.replace()
    const [again] = await one.use()
    assert.ok(again?.ok)

    const seen = JSON.stringify(one.events.all, (_, value) =>
      value instanceof Error
        ? { ...value, text: value.message, cause: String(value.cause) }
        : value,
    )
    for (const secret of one.scene.secrets()) assert.not.match(seen, secret)
  })
}

test.run()
