/**
 * The bundle with each login at the real OpenBao: while requests go on, its tokens are revoked and
 * reach their maximum life, its credentials are replaced, and so is the authority behind the
 * server's certificate. No request fails, and the log reports each change.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { appendFile, readFile, rename, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { type PluginProcess, startPluginProcess } from '../_lib/plugin/process.ts'
import { makeAuthority } from '../_lib/remote/certificates.ts'
import { LOGIN_SCENES, type LoginScene } from '../_lib/services/vault/login_setup.ts'
import { startOpenBao } from '../_lib/services/vault/openbao.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const PAUSE_MS = 20
const test = suite('e2e/logins', () => ({}))

/** Round trips without end; what failed is remembered. */
class Traffic implements AsyncDisposable {
  readonly failures: string[] = []
  done = 0
  #stopped = false
  readonly #running: Promise<void>

  constructor({ client }: PluginProcess) {
    this.#running = this.#run(client)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #run({ v2 }: PluginProcess['client']): Promise<void> {
    while (!this.#stopped) {
      try {
        const plaintext = randomBytes(32)
        const made = await v2.encrypt({ plaintext, uid: 'traffic' })
        const opened = await v2.decrypt({ ...made, uid: 'traffic' })
        assert.equal([...opened.plaintext], [...plaintext])
        this.done += 1
      } catch (error) {
        this.failures.push(String(error))
      }
      await new Promise((resolve) => {
        setTimeout(resolve, PAUSE_MS)
      })
    }
  }
}

async function setup(name: string) {
  const folder = await tempFolder()
  const bao = await startOpenBao({ tls: true })
  const transit = await bao.setupTransit({
    folder: folder.path,
    tokenTtl: '2s',
    tokenMaxTtl: '5s',
  })
  // A token of the operator begins to end before the plugin starts.
  const life = { tokenTtl: name === 'token' ? '6s' : '2s', tokenMaxTtl: '5s' }
  const scene = (await LOGIN_SCENES[name]?.({ bao, transit, folder, ...life })) as LoginScene
  const caFile = folder.at('ca.pem')
  await writeFile(caFile, await readFile(bao.caFile))
  const plugin = await startPluginProcess({
    folder: folder.path,
    config: {
      log: { level: 'debug' },
      providers: [
        {
          name: 'bao',
          type: 'vault',
          ...transit.provider,
          auth: scene.auth,
          tls: { caFile, ...scene.tls },
        },
      ],
    },
  })
  const tokens = (action: string) =>
    plugin.events('token').filter((line) => line['action'] === action && line['code'] === 'ok')
  return {
    folder,
    bao,
    scene,
    caFile,
    plugin,
    tokens,
    async [Symbol.asyncDispose]() {
      await plugin[Symbol.asyncDispose]()
      await scene.close?.()
      await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

for (const name of Object.keys(LOGIN_SCENES)) {
  test(`${name}: no request fails while tokens, credentials and authority are replaced`, async () => {
    await using one = await setup(name)
    const { plugin, tokens } = one
    await until('it is healthy', () =>
      plugin.client.v2.status().then(
        ({ healthz }) => healthz === 'ok',
        () => false,
      ),
    )
    await using traffic = new Traffic(plugin)

    await until('the token is renewed', () => tokens('renew').length > 0)
    // A token of the operator is renewed for ever; the others reach their maximum life.
    if (name !== 'token') await until('its life is over', () => tokens('login').length >= 2)

    await one.scene.replace()
    const logins = tokens('login').length
    await one.scene.revoke()
    await until('there is a new login', () => tokens('login').length > logins)

    const authority = await makeAuthority(one.folder.path, 'next-authority')
    await appendFile(one.caFile, await readFile(authority.cert))
    await one.bao.replaceCertificate(authority)
    await writeFile(`${one.caFile}.new`, await readFile(authority.cert))
    await rename(`${one.caFile}.new`, one.caFile)
    await until('the files are followed', () => plugin.events('tls_files_changed').length > 0)
    const before = traffic.done
    await until('requests go on', () => traffic.done > before + 20)
    await traffic.stop()

    assert.equal(traffic.failures, [])
    const output = plugin.output()
    for (const secret of one.scene.secrets()) assert.not.match(output, secret)
    const args = await readFile(`/proc/${plugin.pid}/cmdline`, 'utf8')
    for (const secret of one.scene.secrets()) assert.not.match(args, secret)
  })
}

test.run()
