/** What `trousseau manifests cluster-api` prints: the same for both versions of the API, and no secret in it. @module */

import { readFile, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { runProgram } from '../../../src/cli/program.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { type TempFolder, tempFolder } from '../../_lib/temp_folder.ts'
import { MANIFEST_CONFIG } from '../../_lib/tools/manifest_config.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('tools/manifests/cluster_api', () => ({}))

/** The two objects, the newer one first. */
async function made(folder: TempFolder, config: object, ...flags: string[]) {
  await writeFile(folder.at('config.json'), JSON.stringify(config))
  const io = memoryIo()
  const args = ['manifests', 'cluster-api', '--config', folder.at('config.json')]
  const code = await runProgram([...args, '--out', folder.at('out'), ...flags], io)
  assert.is(code, 0, io.complained())
  const [newer, older] = await Promise.all(
    ['cluster-api.yaml', 'cluster-api-v1beta1.yaml'].map((name) =>
      readFile(folder.at(`out/${name}`), 'utf8'),
    ),
  )
  return { text: newer ?? '', newer: parse(newer ?? ''), older: parse(older ?? '') }
}

test('both versions say the same, each in its own form of flags', async () => {
  await using folder = await tempFolder()
  const { newer, older } = await made(folder, MANIFEST_CONFIG)

  const [one, two] = [newer, older].map(({ spec }) => spec.kubeadmConfigSpec)
  const { extraArgs } = one.clusterConfiguration.apiServer
  assert.equal(
    Object.fromEntries(extraArgs.map(({ name, value }: Record<string, string>) => [name, value])),
    two.clusterConfiguration.apiServer.extraArgs,
  )
  two.clusterConfiguration.apiServer.extraArgs = extraArgs
  assert.equal(one, two)
})

test('config and credentials come from a Secret, and the files are those of the other kinds', async () => {
  await using folder = await tempFolder()
  const { text, newer } = await made(folder, MANIFEST_CONFIG)
  const { files, preKubeadmCommands } = newer.spec.kubeadmConfigSpec
  const find = (path: string) => files.find((file: { path: string }) => file.path === path)

  for (const [path, key] of [
    ['/etc/trousseau/trousseau.yaml', 'trousseau.yaml'],
    ['/etc/trousseau/role-id', 'etc.trousseau.role-id'],
    ['/etc/trousseau/credentials/secret-id', 'etc.trousseau.credentials.secret-id'],
    ['/srv/pki/ca.pem', 'srv.pki.ca.pem'],
  ] as const) {
    assert.equal(find(path).contentFrom, { secret: { name: 'trousseau-credentials', key } }, path)
    assert.is(find(path).permissions, '0600')
    assert.is(find(path).content, undefined)
    assert.match(text, `--from-file=${key}=`)
  }
  const io = memoryIo()
  await runProgram(['manifests', 'static-pod', '--config', folder.at('config.json')], io)
  assert.equal(parse(find('/etc/kubernetes/manifests/trousseau.yaml').content), parse(io.printed()))
  assert.equal(preKubeadmCommands, [
    'systemd-tmpfiles --create /etc/tmpfiles.d/trousseau.conf',
    'chgrp 65532 /srv/pki/ca.pem',
    'chmod 0640 /srv/pki/ca.pem',
  ])
})

test('cloud-init takes the files for templates of Jinja, and nothing in them looks like one', async () => {
  await using folder = await tempFolder()
  for (const flags of [[], ['--user', '0'], ['--selinux-type', 'spc_t']]) {
    await using again = await tempFolder()
    const { text } = await made(again, MANIFEST_CONFIG, ...flags)
    assert.not.match(text, /\{\{|\{%|\{#/)
  }
  const { newer } = await made(folder, MANIFEST_CONFIG, '--user', '0', '--selinux-type', 'spc_t')
  assert.equal(newer.spec.kubeadmConfigSpec.preKubeadmCommands, [
    "semanage fcontext -a -t container_file_t '/run/trousseau(/.*)?'",
    'systemd-tmpfiles --create /etc/tmpfiles.d/trousseau.conf',
  ])
})

test.run()
