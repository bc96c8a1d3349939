/**
 * What `trousseau manifests` prints and what the chart renders, checked by a real API server, Helm
 * and systemd.
 *
 * @module
 */

import { execFile } from 'node:child_process'
import { chmod, chown, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { parse, parseAllDocuments } from 'yaml'
import { startApiServer } from '../_lib/cluster/api_server.ts'
import { helmBinary } from '../_lib/cluster/binaries.ts'
import { startEtcd } from '../_lib/cluster/etcd.ts'
import { bundleCommand } from '../_lib/plugin/process.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { MANIFEST_CONFIG } from '../_lib/tools/manifest_config.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const CHART = fileURLToPath(new URL('../../deploy/chart/', import.meta.url))
/** systemd's exposure in tenths: "OK" ends at 4.9, and an unprotected service has 9.6. */
const EXPOSURE = 20
const run = promisify(execFile)
const test = suite('cluster/manifests', () => ({}), 300_000)

const WITH_TOKEN = {
  ...MANIFEST_CONFIG,
  providers: [
    { ...MANIFEST_CONFIG.providers[0], auth: { method: 'kubernetes', role: 'trousseau' } },
  ],
}
const CASES: Readonly<Record<string, readonly [config: object, ...flags: string[]]>> = {
  'a config with AppRole': [MANIFEST_CONFIG],
  'a config with a ServiceAccount': [WITH_TOKEN],
  'an admin server on a socket': [
    { ...MANIFEST_CONFIG, admin: { listen: 'unix:///run/trousseau/admin.sock' } },
  ],
  'an SELinux type': [MANIFEST_CONFIG, '--selinux-type', 'spc_t'],
}

/** Prints it with the bundle, into a file of that name. */
async function printed(
  folder: TempFolder,
  kind: string,
  config: object,
  ...flags: string[]
): Promise<string> {
  await writeFile(folder.at('config.json'), JSON.stringify(config))
  const args = ['manifests', kind, '--config', folder.at('config.json'), ...flags]
  const [command, all] = bundleCommand({ folder: folder.path }, args)
  const { stdout } = await run(command, all)
  await writeFile(folder.at(`${kind}.yaml`), stdout)
  return stdout
}

test('a real API server takes the objects in a dry run, and the EncryptionConfiguration in earnest', async () => {
  await using folder = await tempFolder()
  await using etcd = await startEtcd(folder.path)
  const [name, resources] = ['trousseau', 'secrets,configmaps']
  const encryption = await printed(folder, 'encryption-config', MANIFEST_CONFIG)
  await using server = await startApiServer({ folder: folder.path, etcd })
  // Nobody makes it where no controller runs.
  await server.kubectl('create', 'serviceaccount', 'default', '-n', 'kube-system')
  await server.kubectl('create', 'serviceaccount', 'trousseau', '-n', 'kube-system')

  for (const [config, ...flags] of Object.values(CASES)) {
    for (const kind of ['static-pod', 'daemonset', 'vault-agent']) {
      const out = await mkdtemp(folder.at('out-'))
      await printed(folder, kind, config, ...flags, '--out', out)
      // Of a folder kubectl takes the files with objects; beside an agent's pod the plugin's config is none.
      if (kind === 'vault-agent') await rm(`${out}/trousseau.yaml`)
      const apply = ['apply', '--dry-run=server', '--validate=strict', '-f', out]
      assert.match(await server.kubectl(...apply), /trousseau.*\(server dry run\)/)
    }
  }
  await server.process.stop()
  await using encrypting = await startApiServer(
    { folder: folder.path, etcd, encryption, name: 'encrypting' },
    { launchOnly: true },
  )
  await until(
    'it has read its config and looks for the plugin',
    () => {
      assert.not.ok(encrypting.process.exited, encrypting.process.output().slice(-2_000))
      return /trousseau.*(?:kms\.sock|not healthy|failed)/.test(encrypting.process.output())
    },
    { limitMs: 60_000 },
  )
  assert.ok(encryption.includes(name) && resources.includes('secrets'))
})

for (const [what, [config, ...flags]] of Object.entries(CASES)) {
  test(`the chart renders the objects of the DaemonSet, to the letter, for ${what}`, async () => {
    await using folder = await tempFolder()
    await printed(folder, 'helm-values', config, ...flags)
    const helm = await helmBinary()

    const args = ['template', 'trousseau', CHART, '--namespace', 'kube-system']
    const rendered = await run(helm, [...args, '--values', folder.at('helm-values.yaml')])

    const byKind = (text: string) =>
      parseAllDocuments(text)
        .map((document): { kind: string } => document.toJS())
        .filter((object) => object !== null)
        .toSorted((a, b) => (a.kind < b.kind ? -1 : 1))
    assert.equal(
      byKind(rendered.stdout),
      byKind(await printed(folder, 'daemonset', config, ...flags)),
    )
    assert.is(/seLinuxOptions/.test(rendered.stdout), flags.length > 0)
  })
}

test('the chart renders what monitors it, only where that is asked for', async () => {
  const helm = await helmBinary()
  const asked = ['podMonitor=true', 'serviceMonitor=true', 'rules=true', 'dashboard=true']
  const values = [...asked, 'pages=https://wiki.example/docs/'].map((each) => `monitoring.${each}`)
  const sets = [...values, 'admin.port=9999'].flatMap((value) => ['--set', value])
  const args = ['template', 'trousseau', CHART, '--namespace', 'kms']

  const { stdout } = await run(helm, [...args, ...sets])

  const objects = parseAllDocuments(stdout)
    .map((document) => document.toJS())
    .filter((object) => object !== null)
  const find = (kind: string) => objects.find((object) => object.kind === kind)
  const kinds = ['PodMonitor', 'ServiceMonitor', 'Service', 'PrometheusRule', 'ConfigMap']
  for (const kind of kinds) assert.is(find(kind)?.metadata.namespace, 'kms', kind)
  const [endpoint] = find('PodMonitor').spec.podMetricsEndpoints
  assert.is(endpoint.relabelings[0].replacement, '$1:9999')
  assert.is(find('Service').spec.ports[0].port, 9999)
  const shipped = (name: string) => readFile(`${CHART}../monitoring/${name}`, 'utf8')
  const rules = (await shipped('rules.yaml')).replaceAll(
    'docs/alerts',
    'https://wiki.example/docs/alerts',
  )
  assert.equal(find('PrometheusRule').spec, parse(rules))
  assert.is(
    find('ConfigMap').data['trousseau.json'].trim(),
    (await shipped('dashboard.json')).trim(),
  )
  const { stdout: without } = await run(helm, args)
  assert.not.match(without, /Monitor|PrometheusRule|ConfigMap/)
})

test("the chart's own values render, pass its lint, and a wrong one is refused", async () => {
  const helm = await helmBinary()

  const { stdout } = await run(helm, ['template', 'trousseau', CHART])
  assert.match(stdout, /kind: DaemonSet/)
  await run(helm, ['lint', '--strict', CHART])
  const refused = await run(helm, ['template', 'trousseau', CHART, '--set', 'user=root']).catch(
    (error: { stderr: string }) => error.stderr,
  )
  assert.match(String(refused), /user/)
  const context = ['--set', 'selinuxType=system_u:system_r:spc_t:s0']
  const wrong = await rejection(run(helm, ['template', 'trousseau', CHART, ...context]))
  assert.match(String(wrong), /selinuxType/)
})

test('systemd-tmpfiles takes the lines of --selinux-type, which change neither owner nor mode of what is there', async () => {
  await using folder = await tempFolder()
  await printed(folder, 'tmpfiles', MANIFEST_CONFIG, '--selinux-type', 'container_t')
  await mkdir(folder.at('root/run/trousseau'), { recursive: true })
  await writeFile(folder.at('root/run/trousseau/file'), '', { mode: 0o604 })
  const before = await stat(folder.at('root/run/trousseau/file'))

  const args = ['--create', `--root=${folder.at('root')}`, folder.at('tmpfiles.yaml')]
  const { stderr } = await run('systemd-tmpfiles', args)

  assert.is(stderr, '')
  const after = await stat(folder.at('root/run/trousseau/file'))
  assert.equal([after.mode, after.uid, after.gid], [before.mode, before.uid, before.gid])
  assert.is((await stat(folder.at('root/var/lib/trousseau/state'))).mode & 0o777, 0o700)
})

test('the user of the unit may read and write all that it needs, in the folders that the runbook makes for root', async () => {
  await using folder = await tempFolder()
  const config = {
    ...MANIFEST_CONFIG,
    providers: [
      ...MANIFEST_CONFIG.providers,
      { name: 'here', type: 'local', keyFile: '/var/lib/trousseau/keys' },
    ],
  }
  await writeFile(folder.at('config.json'), JSON.stringify(config))
  const args = ['manifests', 'systemd', '--config', folder.at('config.json')]
  const [command, all] = bundleCommand({ folder: folder.path }, [
    ...args,
    '--out',
    folder.at('made'),
  ])
  await run(command, all)
  const page = await readFile('docs/runbooks/install.md', 'utf8')
  const [, folders = ''] = /install (-d -m 0700 .+)/.exec(page) ?? []
  assert.match(folders, '/etc/trousseau ')
  const root = folder.at('root')
  const [first, second, mode, ...paths] = folders.split(' ')
  await run('install', [`${first}`, `${second}`, `${mode}`, ...paths.map((path) => root + path)])
  await mkdir(`${root}/etc/trousseau/credentials`, { mode: 0o700 })
  const files = ['trousseau.yaml', 'role-id', 'credentials/secret-id'].map(
    (name) => `${root}/etc/trousseau/${name}`,
  )
  const keys = `${root}/var/lib/trousseau/keys`
  for (const file of [...files, keys]) await writeFile(file, 'x', { mode: 0o600 })
  await chmod(folder.path, 0o755)
  const asUser = ['--reuid=65532', '--regid=65532', '--clear-groups']
  const mayRead = (file: string) =>
    run('setpriv', [...asUser, 'cat', file]).then(
      () => true,
      () => false,
    )
  for (const file of files) assert.not(await mayRead(file), file)

  await run('systemd-sysusers', [`--root=${root}`, folder.at('made/trousseau.sysusers.conf')])
  const lines = folder.at('made/trousseau.tmpfiles.conf')
  const { stderr } = await run('systemd-tmpfiles', ['--create', `--root=${root}`, lines])

  assert.is(stderr, '')
  for (const file of [...files, keys]) assert.ok(await mayRead(file), file)
  for (const file of files) assert.is((await stat(file)).mode & 0o7777, 0o640, file)
  assert.is((await stat(keys)).mode & 0o7777, 0o600)
  // systemd makes the folder itself the user's, and not those above it.
  await chown(`${root}/var/lib/trousseau/state`, 65_532, 65_532)
  await run('setpriv', [...asUser, 'touch', `${root}/var/lib/trousseau/state/file`])
})

test('the unit passes systemd-analyze verify, and its exposure is below 2', async () => {
  await using folder = await tempFolder()
  await printed(folder, 'systemd', MANIFEST_CONFIG, '--out', folder.path)
  const file = folder.at('trousseau.service')
  // Where nothing is installed, another program stands in for the plugin's.
  const unit = (await readFile(file, 'utf8')).replace('/usr/local/bin/trousseau', '/bin/true')
  await writeFile(file, unit)

  const { stderr } = await run('systemd-analyze', ['verify', '--man=no', file])
  assert.is(stderr, '')
  // Exits non-zero above the threshold.
  await run('systemd-analyze', [
    'security',
    '--offline=true',
    `--threshold=${EXPOSURE}`,
    '--no-pager',
    file,
  ])
  assert.match(await readFile(file, 'utf8'), /ProtectSystem=strict/)
})

test.run()
