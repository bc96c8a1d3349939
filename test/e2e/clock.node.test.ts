/** The bundle on a node whose clock is wrong, with a self-signed login to a real OpenBao. @module */

import { Buffer } from 'node:buffer'
import { execFile } from 'node:child_process'
import { chmod, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { bundleCommand, configText, startWellPlugin } from '../_lib/plugin/process.ts'
import { clockFlags } from '../_lib/plugin/skewed_clock.ts'
import { LOGIN_SCENES, type LoginScene } from '../_lib/services/vault/login_setup.ts'
import { startOpenBao } from '../_lib/services/vault/openbao.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('e2e/clock', () => ({}))

for (const [skewMs, said] of [
  [86_400_000, 'ahead of'],
  [-1_700_000_000_000, 'behind'],
] as const) {
  test(`serve is well at once with a clock that is ${skewMs / 1_000} s ahead, and says so`, async () => {
    await using one = await setup(skewMs)

    await using plugin = await startWellPlugin({
      folder: one.folder.path,
      config: one.config,
      nodeFlags: one.flags,
    })

    const [told, ...more] = await plugin.told('clock_skew')
    assert.match(String(told?.['message']), new RegExp(`Clock of this node is \\d+ s ${said}`))
    assert.is(more.length, 0)
    const made = await plugin.client.v2.encrypt({ plaintext: Buffer.from('seed'), uid: 'one' })
    const { plaintext } = await plugin.client.v2.decrypt({ ...made, uid: 'two' })
    assert.is(Buffer.from(plaintext).toString(), 'seed')
  })
}

test('doctor tells of the clock where the login is refused besides', async () => {
  await using one = await setup(86_400_000)
  await one.scene.spoil()
  const path = one.folder.at('doctor.json')
  await writeFile(path, configText(one.folder.at('kms.sock'), one.config))
  await chmod(path, 0o600)

  const [command, args] = bundleCommand({ folder: '', nodeFlags: one.flags }, [
    'doctor',
    '--config',
    path,
    '--json',
  ])
  const out = await new Promise<string>((resolve) => {
    execFile(command, args, (_error, stdout) => resolve(stdout))
  })

  const found: readonly { readonly id: string; readonly what: string }[] = JSON.parse(out).findings
  const whatOf = (id: string) => found.find((one) => one.id === id)?.what ?? `no ${id}`
  assert.match(
    whatOf('clock-skew'),
    /Clock of this node is 8640\d s ahead of that of the key service/,
  )
  assert.match(
    whatOf('provider-denied'),
    /refused \(400\).*clock of this node is 8640\d s ahead of/,
  )
})

async function setup(skewMs: number) {
  const folder = await tempFolder()
  const bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path })
  const make = LOGIN_SCENES['jwt, self-signed with EdDSA']
  const scene = (await make?.({ bao, transit, folder })) as LoginScene
  const { auth } = scene
  const provider = {
    name: 'bao',
    type: 'vault',
    allowInsecureHttp: true,
    ...transit.provider,
    auth,
  }
  return {
    folder,
    scene,
    flags: await clockFlags(folder, skewMs),
    config: { providers: [provider] },
    async [Symbol.asyncDispose]() {
      await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

test.run()
