/** Facts as claims: the real OpenBao refuses the login of a node that is not as its role wants it. @module */

import * as assert from 'uvu/assert'
import type { PluginProcess } from '../_lib/plugin/process.ts'
import { startWellPlugin } from '../_lib/plugin/process.ts'
import { madeUpRoot } from '../_lib/policy/made_up_root.ts'
import { LOGIN_SCENES } from '../_lib/services/vault/login_setup.ts'
import { startOpenBao } from '../_lib/services/vault/openbao.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const SEED = new Uint8Array(32).fill(7)
const LOCKDOWN = 'sys/kernel/security/lockdown'

const test = suite('e2e/policy_claims', () => ({}))

async function scene() {
  const folder = await tempFolder()
  const root = await madeUpRoot(folder.at('root'))
  const bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path })
  const made = await LOGIN_SCENES['jwt, self-signed with ES256']?.({ bao, transit, folder })
  if (made === undefined) throw new Error('No scene of a self-signed JWT')
  await bao.request('POST', 'auth/jwt/role/trousseau', {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: ['vault'],
    bound_claims: { node: 'cp-1', lockdown: ['integrity', 'confidentiality'], secure: 'true' },
    token_policies: transit.policy,
    token_no_default_policy: true,
  })
  const selfSigned = {
    ...(made.auth['selfSigned'] as object),
    factClaims: { lockdown: 'kernel.lockdown', secure: 'boot.secure' },
  }
  const vault = { name: 'bao', type: 'vault', allowInsecureHttp: true, ...transit.provider }
  const config = {
    providers: [{ ...vault, auth: { ...made.auth, selfSigned } }],
    policy: { interval: '100ms', roots: root.roots },
    health: { interval: '500ms' },
  }
  return {
    root,
    start: () => startWellPlugin({ folder: folder.path, config }),
    async [Symbol.asyncDispose]() {
      await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

function logins(plugin: PluginProcess, ok: boolean) {
  return plugin
    .events('token')
    .filter(({ action, code }) => action === 'login' && (code === 'ok') === ok)
}

/** So many, and no more: the log may come later than the answers. */
async function toldLogins(plugin: PluginProcess, count: number): Promise<void> {
  await until(`${count} logins are told`, () => logins(plugin, true).length >= count)
  assert.is(logins(plugin, true).length, count)
}

test('a fact that changes makes a new login, which OpenBao refuses and takes back, and the token of before is used no more', async () => {
  await using one = await scene()
  await using plugin = await one.start()
  const encrypt = () => plugin.client.v2.encrypt({ plaintext: SEED, uid: 'a' })
  await toldLogins(plugin, 1)

  await one.root.put(LOCKDOWN, '[none] integrity confidentiality\n')
  const [refused] = await until('the login is refused', () => {
    const found = logins(plugin, false)
    return found.length > 0 && found
  })
  const message = String(refused?.['message'])
  assert.match(message, /does not match any associated bound claim values/)
  assert.match(message, 'as facts of this node were signed: lockdown=none, secure=true')
  await until('Encrypt is refused', () =>
    encrypt().then(
      () => false,
      (error: Error) => /lockdown=none/.test(error.message),
    ),
  )
  await until('Status is refused', () =>
    plugin.client.v2.status().then(
      () => false,
      () => true,
    ),
  )

  await one.root.put(LOCKDOWN, 'none integrity [confidentiality]\n')
  await until('Status is well', () => plugin.client.v2.status().catch(() => undefined))
  await encrypt()
  await toldLogins(plugin, 2)
})

test('a fact that is not known is signed as such', async () => {
  await using one = await scene()
  await using plugin = await one.start()

  await one.root.take(LOCKDOWN)
  const [refused] = await until('the login is refused', () => {
    const found = logins(plugin, false)
    return found.length > 0 && found
  })

  assert.match(String(refused?.['message']), 'lockdown=unknown, secure=true')
})

test.run()
