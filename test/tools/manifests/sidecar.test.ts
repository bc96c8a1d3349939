// deno-lint-ignore-file no-explicit-any
/** What `trousseau manifests sidecar` prints, and which configs need a node. @module */

import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { runProgram } from '../../../src/cli/program.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { type TempFolder, tempFolder } from '../../_lib/temp_folder.ts'
import { MANIFEST_CONFIG } from '../../_lib/tools/manifest_config.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('tools/manifests/sidecar', () => ({}))
const [PROVIDER] = MANIFEST_CONFIG.providers

async function made(folder: TempFolder, config: object, ...flags: string[]) {
  await writeFile(folder.at('config.json'), JSON.stringify(config))
  const io = memoryIo()
  const args = ['manifests', 'sidecar', '--config', folder.at('config.json')]
  const code = await runProgram([...args, '--out', folder.at('out'), ...flags], io)
  return { code, err: io.complained() }
}

interface Volume {
  readonly projected?: { readonly sources: { readonly secret?: { items: { key: string }[] } }[] }
}

/** The pod of the patch, and the plugin's container in it. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into what was made
async function patch(config: object, ...flags: string[]): Promise<{ spec: any; plugin: any }> {
  await using folder = await tempFolder()
  const { code, err } = await made(folder, config, ...flags)
  assert.is(code, 0, err)
  const { spec } = parse(await readFile(folder.at('out/sidecar.yaml'), 'utf8')).spec.template
  return { spec, plugin: spec.initContainers[0] }
}

test('nothing of the node is mounted, each file comes from the Secret that the command makes, and both containers share the socket', async () => {
  await using folder = await tempFolder()
  assert.is((await made(folder, MANIFEST_CONFIG, '--namespace', 'shoot')).code, 0)
  const { spec, plugin } = await patch(MANIFEST_CONFIG)

  assert.not.match(JSON.stringify(spec), /hostPath|hostNetwork/)
  const [apiServer] = spec.containers
  const names = spec.volumes.map(({ name }: { name: string }) => name)
  for (const { name } of [...apiServer.volumeMounts, ...plugin.volumeMounts]) {
    assert.ok(names.includes(name), name)
  }
  const items = (spec.volumes as Volume[]).flatMap(({ projected }) =>
    (projected?.sources ?? []).flatMap(({ secret }) => secret?.items ?? []),
  )
  const kustomization = await readFile(folder.at('out/kustomization.yaml'), 'utf8')
  const keys = [...kustomization.matchAll(/--from-file=(\S+?)=(\S+)/g)]
  assert.equal(
    new Map(keys.map(([, key, path]) => [key, path])),
    new Map([
      ['srv.pki.ca.pem', '/srv/pki/ca.pem'],
      ['etc.trousseau.role-id', '/etc/trousseau/role-id'],
      ['etc.trousseau.credentials.secret-id', '/etc/trousseau/credentials/secret-id'],
    ]),
  )
  assert.equal(new Set(items.map(({ key }) => key)), new Set(keys.map(([, key]) => key)))
  assert.match(kustomization, /--namespace shoot/)
  assert.is(
    await readFile(folder.at('out/trousseau.yaml'), 'utf8'),
    `${JSON.stringify(MANIFEST_CONFIG)}\n`,
  )
})

test('the API server waits until the socket answers, whatever the key service does, and no probe asks a port of the node', async () => {
  const { plugin } = await patch(MANIFEST_CONFIG)

  assert.is(plugin.restartPolicy, 'Always')
  for (const probe of [plugin.startupProbe, plugin.livenessProbe]) {
    assert.equal(probe.exec.command, [
      ...['/usr/bin/trousseau', 'status', '--socket', '/run/trousseau/kms.sock', '--live'],
    ])
  }
  const { securityContext } = plugin
  assert.is(securityContext.runAsUser, 65_532)
  assert.is(securityContext.runAsNonRoot, true)
  assert.equal(securityContext.capabilities, { drop: ['ALL'] })
})

test('a socket that is for another group is made by a member of it, since nobody else may', async () => {
  const socket = { ...MANIFEST_CONFIG.socket, group: 1000, mode: '0660' }

  const { securityContext } = (await patch({ ...MANIFEST_CONFIG, socket })).plugin
  assert.is(securityContext.runAsUser, 65_532)
  assert.is(securityContext.runAsGroup, 1000)
})

test('with the login method kubernetes the plugin gets a token of the hosting cluster', async () => {
  const auth = { method: 'kubernetes', role: 'trousseau' }
  const config = { ...MANIFEST_CONFIG, providers: [{ ...PROVIDER, auth }] }

  const { spec, plugin } = await patch(config)

  const { name } = plugin.volumeMounts.find(
    ({ mountPath }: { mountPath: string }) =>
      mountPath === '/var/run/secrets/kubernetes.io/serviceaccount',
  )
  const volume = spec.volumes.find((each: { name: string }) => each.name === name)
  assert.is(volume.projected.sources[0].serviceAccountToken.audience, 'vault')
})

const LOCAL = { name: 'here', type: 'local', keyFile: '/etc/trousseau/keys' }

test('a key file belongs to root, and so does the plugin then', async () => {
  const config = { ...MANIFEST_CONFIG, providers: [LOCAL] }

  const { spec, plugin } = await patch(config, '--user', '0')

  assert.is(plugin.securityContext.runAsUser, 0)
  const read = spec.volumes.find(({ name }: { name: string }) => name === 'trousseau-read-0')
  assert.is(read.projected.defaultMode, 0o400)
})

const tpm = { keyFile: '/etc/trousseau/login-key.json' }
const selfSigned = { tpm, audience: 'vault', subject: 'node-1' }
for (const [what, change, wanted] of [
  ['a key file without root', { providers: [LOCAL] }, /\/etc\/trousseau\/keys: files of a Secret/],
  [
    'a folder of authorities',
    { providers: [{ ...PROVIDER, tls: { caDir: '/etc/pki/cas' } }] },
    /\/etc\/pki\/cas: a Secret has files and no folders: wanted tls\.caFile/,
  ],
  [
    'an agent of the node',
    {
      providers: [
        {
          ...PROVIDER,
          address: 'unix:///run/vault-agent/agent.sock',
          tls: {},
          auth: { method: 'agent' },
        },
      ],
    },
    /\/run\/vault-agent\/agent\.sock: no agent of a node is within reach/,
  ],
  [
    'a login key in the TPM',
    {
      providers: [{ ...PROVIDER, auth: { method: 'jwt', selfSigned } }],
    },
    /\/dev\/tpmrm0: a login key in the TPM belongs to a node/,
  ],
  [
    "a credential of systemd's",
    {
      providers: [
        {
          ...PROVIDER,
          auth: {
            ...PROVIDER.auth,
            secretIdFile: '/run/credentials/trousseau.service/secret-id',
          },
        },
      ],
    },
    /\/run\/credentials\/trousseau\.service\/secret-id: only systemd puts credentials there/,
  ],
  [
    'a file below which the plugin writes',
    { stateDir: '/etc/trousseau/state' },
    /\/etc\/trousseau\/trousseau\.yaml: lies where the plugin writes, or above that/,
  ],
] as const) {
  test(`${what} is refused in words, and nothing is written`, async () => {
    await using folder = await tempFolder()

    const { code, err } = await made(folder, { ...MANIFEST_CONFIG, ...change })

    assert.is(code, 2, err)
    assert.match(err, wanted)
    assert.not.ok(existsSync(folder.at('out')))
  })
}

test.run()
