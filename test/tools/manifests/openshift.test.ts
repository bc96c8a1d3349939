/** What `trousseau manifests openshift` prints, and which configs it refuses. */

import { execFile } from 'node:child_process'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import process from 'node:process'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { runProgram } from '../../../src/cli/program.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { type TempFolder, tempFolder } from '../../_lib/temp_folder.ts'
import { MANIFEST_CONFIG } from '../../_lib/tools/manifest_config.ts'
import { IMAGE, OPENSHIFT_REFUSALS } from '../../_lib/tools/openshift.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('tools/manifests/openshift', () => ({}))
const run = promisify(execFile)
const [PROVIDER] = MANIFEST_CONFIG.providers

async function made(folder: TempFolder, config: object, ...flags: string[]) {
  await writeFile(folder.at('config.json'), JSON.stringify(config))
  const io = memoryIo()
  const args = ['manifests', 'openshift', '--config', folder.at('config.json')]
  const code = await runProgram(
    [...args, '--image', IMAGE, '--out', folder.at('out'), ...flags],
    io,
  )
  return { code, err: io.complained() }
}

test('the resource names image, address, key and what the commands make', async () => {
  await using folder = await tempFolder()
  const { code, err } = await made(folder, {
    ...MANIFEST_CONFIG,
    providers: [
      {
        ...PROVIDER,
        namespace: 'team',
        tls: { ...PROVIDER.tls, serverName: 'vault.internal' },
        auth: { ...PROVIDER.auth, namespace: 'admin' },
      },
    ],
  })

  assert.is(code, 0, err)
  const { spec, metadata } = parse(
    await readFile(folder.at('out/openshift-apiserver.yaml'), 'utf8'),
  )
  assert.equal(metadata, { name: 'cluster' })
  assert.equal(spec.encryption, {
    type: 'KMS',
    kms: {
      type: 'Vault',
      vault: {
        kmsPluginImage: IMAGE,
        vaultAddress: 'https://vault.example.org:8200',
        vaultKeyPath: 'transit/keys/k8s-etcd',
        vaultNamespace: 'team',
        vaultAuthNamespace: 'admin',
        tls: { caBundle: { name: 'trousseau-ca' }, serverName: 'vault.internal' },
        authentication: { type: 'AppRole', appRole: { secret: { name: 'trousseau-approle' } } },
      },
    },
  })
  const policy = await readFile(folder.at('out/vault-prod-policy.hcl'), 'utf8')
  assert.match(policy, /path "transit\/encrypt\/k8s-etcd"/)
  assert.match(policy, /path "auth\/approle\/role\/\+\/secret-id\/lookup"/)
})

test('--key-field transitKey names mount and key apart', async () => {
  await using folder = await tempFolder()
  const config = { ...MANIFEST_CONFIG, providers: [{ ...PROVIDER, mount: 'team/transit' }] }
  const { code, err } = await made(folder, config, '--key-field', 'transitKey')

  assert.is(code, 0, err)
  const { spec } = parse(await readFile(folder.at('out/openshift-apiserver.yaml'), 'utf8'))
  const { transitMount, transitKey, vaultKeyPath } = spec.encryption.kms.vault
  assert.equal([transitMount, transitKey, vaultKeyPath], ['team/transit', 'k8s-etcd', undefined])
})

test('the commands give oc the files, and no secret', async () => {
  await using folder = await tempFolder()
  await writeFile(folder.at('oc'), '#!/bin/sh\nprintf "%s\\n" "$*" >> "$0.calls"\n')
  await chmod(folder.at('oc'), 0o700)
  await made(folder, MANIFEST_CONFIG)

  const env = { PATH: `${folder.path}:${process.env['PATH']}` }
  await run('sh', [folder.at('out/openshift-credentials.sh')], { env })

  const calls = (await readFile(folder.at('oc.calls'), 'utf8')).split('\n').filter(Boolean)
  assert.equal(calls.toSorted(), [
    'apply -f -',
    'apply -f -',
    'create configmap trousseau-ca --from-file=ca-bundle.crt=/srv/pki/ca.pem -n openshift-config --dry-run=client -o yaml',
    'create secret generic trousseau-approle --from-file=role-id=/etc/trousseau/role-id --from-file=secret-id=/etc/trousseau/credentials/secret-id -n openshift-config --dry-run=client -o yaml',
  ])
})

for (const [what, { config, image, problem }] of Object.entries(OPENSHIFT_REFUSALS)) {
  test(`${what} is refused, and nothing is written`, async () => {
    await using folder = await tempFolder()
    const flags = image === undefined ? [] : ['--image', image]
    const { code, err } = await made(folder, config, ...flags)

    assert.is(code, 2, err)
    assert.match(err, problem)
    assert.match(err, /hint: docs\/openshift\.md/)
  })
}

test('every reason is told at once', async () => {
  await using folder = await tempFolder()
  const config = {
    ...MANIFEST_CONFIG,
    providers: [{ ...PROVIDER, id: 'mine', address: 'https://vault.example.org/path' }],
  }
  const { err } = await made(folder, config, '--image', 'trousseau:1')
  assert.is(err.match(/For OpenShift: /g)?.length, 3, err)
})

test.run()
