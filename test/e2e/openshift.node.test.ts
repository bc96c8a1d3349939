/**
 * The bundle as OpenShift's operators start it, against the real OpenBao server: their preflight and
 * their reporter, what is replaced under it, and what an administrator reads where something is wrong.
 */

import { Buffer } from 'node:buffer'
import { mkdir, readdir, readFile, readlink, rm, stat } from 'node:fs/promises'
import process from 'node:process'
import * as assert from 'uvu/assert'
import { freePort } from '../_lib/free_port.ts'
import { healthReport, preflight } from '../_lib/openshift/checks.ts'
import {
  caName,
  MAX_REPORT_TEXT,
  type SidecarOptions,
  secretIdName,
  sidecarArguments,
  socketOf,
} from '../_lib/openshift/contract.ts'
import { type PluginProcess, runCommand, startPluginProcess } from '../_lib/plugin/process.ts'
import { makeAuthority } from '../_lib/remote/certificates.ts'
import { replaceFile } from '../_lib/replace_file.ts'
import { type OpenBao, startOpenBao, type Transit } from '../_lib/services/vault/openbao.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const PLANTED = 'planted-5c1d-secret'
const test = suite('e2e/openshift', () => ({}), 200_000)

interface Scene extends AsyncDisposable {
  readonly folder: TempFolder
  readonly bao: OpenBao
  readonly transit: Transit
  /** What the operators pass for key 1. */
  readonly options: SidecarOptions
  start(change?: Partial<SidecarOptions>, ...more: string[]): Promise<PluginProcess>
}

async function scene(): Promise<Scene> {
  await using started = new AsyncDisposableStack()
  const folder = started.use(await tempFolder())
  const bao = started.use(await startOpenBao({ tls: true }))
  const transit = await bao.setupTransit({ folder: folder.path, key: 'first' })
  const options: SidecarOptions = {
    keyId: 1,
    address: bao.address,
    mount: transit.mount,
    key: transit.key,
    roleId: (await readFile(transit.roleIdFile, 'utf8')).trim(),
    files: folder.path,
    sockets: folder.path,
    ca: true,
  }
  await giveFiles(folder, { keyId: 1, transit, caFile: bao.caFile })
  const all = started.move()
  return {
    folder,
    bao,
    transit,
    options,
    async start(change = {}, ...more) {
      const chosen = { ...options, ...change }
      return all.use(
        await startPluginProcess({
          folder: folder.path,
          socketPath: socketOf(chosen.keyId, folder.path),
          words: [...sidecarArguments(chosen), ...more],
          config: {},
        }),
      )
    },
    [Symbol.asyncDispose]: () => all[Symbol.asyncDispose](),
  }
}

/** The files of a key, as the operators mount them. */
async function giveFiles(
  folder: TempFolder,
  { keyId, transit, caFile }: { keyId: number; transit: Transit; caFile: string },
): Promise<void> {
  const copies = [
    [transit.secretIdFile, secretIdName(keyId)],
    [caFile, caName(keyId)],
  ] as const
  for (const [from, name] of copies)
    await replaceFile(folder.at(name), await readFile(from, 'utf8'))
}

test('preflight and reporter are content, and nothing is listened on but the socket', async () => {
  await using all = await scene()
  const plugin = await all.start()

  const checked = await preflight(plugin.socketPath)
  const told = await healthReport(plugin.socketPath)

  assert.is(checked.error, undefined)
  assert.equal([told.health, told.detail], ['Healthy', ''])
  assert.is(told.keyId, checked.keyId)
  assert.ok(told.keyId.length > 0 && told.keyId.length <= MAX_REPORT_TEXT)
  // Not an emptyDir, so its group may connect and no others.
  assert.is((await stat(plugin.socketPath)).mode & 0o777, 0o660)
  const unix = await readFile(`/proc/${plugin.pid}/net/tcp`, 'utf8').catch(() => '')
  assert.not.match(await listening(plugin.pid, unix), /./)
  assert.is(await plugin.stop(), 0, plugin.output())
})

/** The inodes of listening TCP sockets that the process holds. */
async function listening(pid: number, tcp: string): Promise<string> {
  const names = await readdir(`/proc/${pid}/fd`)
  const held = await Promise.all(
    names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => '')),
  )
  const inodes = tcp
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state]) => state === '0A')
    .map(([, , , , , , , , , inode = '']) => `socket:[${inode}]`)
  return inodes.filter((inode) => held.includes(inode)).join(' ')
}

test('the variables that the documentation names are enough, without a word on the command line', async () => {
  await using all = await scene()
  const environment = Object.fromEntries(
    sidecarArguments(all.options).map((word) => {
      const [name = '', text = ''] = word.slice(1).split('=')
      return [`VAULT_KUBE_KMS_${name.toUpperCase().replaceAll('-', '_')}`, text]
    }),
  )
  await using plugin = await startPluginProcess({
    folder: all.folder.path,
    socketPath: socketOf(1, all.folder.path),
    words: [],
    config: {},
    environment,
  })
  assert.is((await preflight(plugin.socketPath)).error, undefined)
})

test('two containers with two keys stand side by side, and the same key under another role opens what the other one wrote', async () => {
  await using all = await scene()
  const { folder, bao, options } = all
  const second = await bao.setupTransit({ folder: folder.path, key: 'second', mount: 'transit2' })
  await giveFiles(folder, { keyId: 2, transit: second, caFile: bao.caFile })
  await giveFiles(folder, { keyId: 3, transit: all.transit, caFile: bao.caFile })
  const roleId = (await readFile(second.roleIdFile, 'utf8')).trim()
  const one = await all.start()
  const two = await all.start({ keyId: 2, mount: second.mount, key: second.key, roleId })
  // The same key, at the server's other name.
  const three = await all.start({
    keyId: 3,
    address: options.address.replace('127.0.0.1', 'localhost'),
  })
  const reports = await Promise.all(
    [one, two, three].map(({ socketPath }) => preflight(socketPath)),
  )

  for (const { error } of reports) assert.is(error, undefined)
  const [first, other, same] = reports.map(({ keyId }) => keyId)
  assert.is(same, first)
  assert.is.not(other, first)
  const plaintext = new TextEncoder().encode('0123456789abcdef0123456789abcdef')
  const made = await one.client.v2.encrypt({ plaintext, uid: 'uid-1' })
  const opened = await three.client.v2.decrypt({ ...made, uid: 'uid-2' })
  assert.equal(Buffer.from(opened.plaintext), Buffer.from(plaintext))
})

test('a secret id and authorities that are replaced under it are taken up without a restart', async () => {
  await using all = await scene()
  const { folder, bao, transit } = all
  const plugin = await all.start()
  assert.is((await preflight(plugin.socketPath)).error, undefined)

  await transit.destroySecretId()
  await transit.revokeTokens()
  await transit.replaceSecretId()
  const authority = await makeAuthority(folder.path, 'next-ca')
  await bao.replaceCertificate(authority)
  await giveFiles(folder, { keyId: 1, transit, caFile: authority.cert })

  await until('it is healthy with the new ones', async () => {
    const made = await plugin.client.v2
      .encrypt({ plaintext: new Uint8Array(32), uid: 'uid' })
      .catch(() => undefined)
    return made !== undefined
  })
  assert.is((await preflight(plugin.socketPath)).error, undefined)
})

/** What an administrator reads, for each thing that is wrong. */
const WRONG: Readonly<
  Record<
    string,
    {
      change(scene: Scene): Promise<Partial<SidecarOptions>> | Partial<SidecarOptions>
      words: string
    }
  >
> = {
  'a wrong role': {
    change: () => ({ roleId: '11111111-2222-3333-4444-555555555555' }),
    words: 'invalid role or secret ID',
  },
  'a sealed server': {
    change: async ({ bao }) => {
      await bao.seal()
      return {}
    },
    words: 'it is sealed: unseal it',
  },
  'a key that is not there': {
    change: () => ({ key: 'absent' }),
    words:
      'the token or its policy does not allow this, or there is no such mount or key in this namespace',
  },
  'a wrong authority': {
    change: async ({ folder }) => {
      const { cert } = await makeAuthority(folder.path, 'wrong-ca')
      await replaceFile(folder.at(caName(1)), await readFile(cert, 'utf8'))
      return {}
    },
    words: 'its certificate is not trusted',
  },
  'an address where nobody is': {
    change: () => ({ address: 'https://127.0.0.1:9' }),
    words: 'connection refused, so nothing listens there',
  },
  'a secret id that is not there': {
    change: async ({ folder }) => {
      await rm(folder.at(secretIdName(1)))
      return {}
    },
    words: 'of auth.secretIdFile cannot be read',
  },
}

for (const [what, { change, words }] of Object.entries(WRONG)) {
  test(`${what} is told in the reporter's words, which fit into a report`, async () => {
    await using all = await scene()
    const plugin = await all.start(await change(all), '-zap-log-level=debug')

    const told = await until(
      'the reporter says why',
      async () => {
        const report = await healthReport(plugin.socketPath)
        assert.is.not(report.health, 'Healthy')
        return report.detail.includes(words) && report
      },
      { limitMs: 30_000, everyMs: 500 },
    )

    assert.is(told.health, 'Error')
    const page = await readFile(new URL('../../docs/openshift.md', import.meta.url), 'utf8')
    assert.ok(page.includes(`\`${words}`), 'the page says what to do')
    assert.ok(told.detail.length <= MAX_REPORT_TEXT, `${told.detail.length} characters`)
    const secretId = (await readFile(all.transit.secretIdFile, 'utf8')).trim()
    for (const text of [told.detail, plugin.output()]) assert.not.ok(text.includes(secretId))
  })
}

test('a preflight ends within its limit where the server is not there, with the reason in its log', async () => {
  await using all = await scene()
  const plugin = await all.start({ address: 'https://127.0.0.1:9' })

  const { error, notReady } = await preflight(plugin.socketPath)

  assert.match(String(error), /Status was not ok within 30s/)
  assert.match(notReady.at(-1) ?? '', /refused/)
})

test('a wrong command line ends with every mistake, exit code 2 and no secret', async () => {
  const { code, out, err } = await runCommand([
    '-listen-address=/run/kms.sock',
    `-approle-secret-id=${PLANTED}`,
    `-vault-address=${PLANTED}`,
  ])

  assert.equal([code, out], [2, ''])
  assert.not.match(err, new RegExp(PLANTED))
  assert.match(err, /^trousseau: -approle-secret-id: there is no such argument; did you mean/m)
  assert.match(err, /^trousseau: -vault-address: wanted /m)
  assert.match(err, /^trousseau: -vault-key-path: is missing/m)
  assert.match(err, /^trousseau: -approle-role-id: is missing/m)
  assert.match(err, /^hint: docs\/openshift\.md/m)
})

test('the documented static pod works: probes and metrics on their ports, and the folder of a node', async () => {
  await using all = await scene()
  const [metrics, health] = [await freePort(), await freePort()]
  const sockets = all.folder.at('kmsplugin')
  await mkdir(sockets)
  const words = sidecarArguments({ ...all.options, sockets })
    .filter((word) => !word.startsWith('-metrics-port'))
    .map((word) => `-${word}`)
  await using plugin = await startPluginProcess({
    folder: all.folder.path,
    socketPath: socketOf(1, sockets),
    words: [
      ...words,
      `--metrics-port=${metrics}`,
      `--health-port=${health}`,
      '--zap-log-level=info',
    ],
    config: {},
  })
  assert.is((await preflight(plugin.socketPath)).error, undefined)
  const ask = async (port: number, path: string) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`)
    return { status: answer.status, text: await answer.text() }
  }

  assert.is((await ask(health, '/healthz')).status, 200)
  assert.is((await ask(health, '/readyz')).status, 200)
  assert.is((await ask(health, '/metrics')).status, 404)
  assert.match(
    (await ask(metrics, '/metrics')).text,
    /trousseau_requests_total\{.*method="Encrypt",code="ok"\} 1/,
  )
  process.kill(plugin.pid, 'SIGHUP')
  const [line] = await plugin.told('config_not_followed')
  assert.match(JSON.stringify(line), /The config is the command line/)
})

test.run()
