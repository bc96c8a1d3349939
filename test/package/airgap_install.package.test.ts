/** The bundle for the air gap, installed without a network: it ends in a healthy plugin, and can be undone. @module */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import process from 'node:process'
import * as assert from 'uvu/assert'
import manifest from '../../package.json' with { type: 'json' }
import { debianTool } from '../_lib/debian.ts'
import { figure } from '../_lib/figure.ts'
import { CONFIG, makeBundle, makeNode, OFFLINE, USER } from '../_lib/package/airgap.ts'
import { startContainerd } from '../_lib/package/containerd.ts'
import { binary, run, unpackImage } from '../_lib/package/shipped.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'
import { startPod } from './static_pod.ts'

const test = suite('package/airgap_install', () => ({}), 600_000)

const bundle = await makeBundle()

test('installed without a network through containerd, the pod is well, and undone nothing is left', async () => {
  await using node = await makeNode(bundle)
  await using containerd = await startContainerd(node, OFFLINE)
  const env = { CONTAINERD_ADDRESS: containerd.address }
  const before = await node.tree()
  const flags = ['--runtime', 'containerd']
  const given = ['--config', node.config]

  const dry = await node.install([...flags, ...given, '--dry-run'], env)
  assert.match(dry, /Nothing was done: --dry-run/)
  assert.equal(await node.tree(), before)
  const started = performance.now()
  await node.install([...flags, ...given], env)
  figure(`installed through containerd in ${((performance.now() - started) / 1000).toFixed(1)} s`)

  const images = (...flag: string[]) =>
    containerd.ask('--namespace', 'k8s.io', 'images', 'ls', ...flag)
  assert.match(await images(), /io\.cri-containerd\.pinned=pinned/)
  const podManifest = node.in('etc/kubernetes/manifests/trousseau.yaml')
  await using pod = await startPod(containerd, podManifest, node.root)
  await until(
    'the plugin is well',
    () => {
      if (pod.ended) throw new Error(`The container ended: ${pod.output}`)
      return node.isWell()
    },
    { limitMs: 120_000, everyMs: 200 },
  )
  const socket = node.in('run/trousseau/kms.sock')
  assert.match((await run(binary('x64'), ['check', '--socket', socket])).stdout, / 0 failed/)
  await pod.stop()

  const again = await node.install(flags, env)
  assert.match(again, /Everything was as it should be already/)
  await rm(node.in('var/lib/trousseau/state/state.json'))
  const undone = await node.install(['--undo'], env)
  assert.not.match(undone, /^keep/m)
  assert.equal(await node.tree(), withOwner(before))
  assert.is(await images('-q'), '')
})

test('the unit of an installation runs as its user on a root with nothing but the libraries', async () => {
  await using folder = await tempFolder()
  await using node = await makeNode(bundle)
  await unpackImage(folder, 'amd64')
  await run('cp', ['-a', `${folder.at('root')}/.`, node.root])
  const given = ['--config', node.config]

  await node.install([...given, '--as', 'systemd'])

  const unit = await readFile(node.in('etc/systemd/system/trousseau.service'), 'utf8')
  const [, command = ''] = /^ExecStart=(.*)$/m.exec(unit) ?? []
  const jail = ['chroot', `--userspec=${USER}:${USER}`, node.root]
  const [program = '', ...args] = [...OFFLINE, ...jail, ...command.split(' ')]
  const child = spawn(program, args, { stdio: 'ignore' })
  const closed = once(child, 'close')
  await until('the plugin is well', () => node.isWell(), { limitMs: 60_000, everyMs: 200 })
  child.kill('SIGTERM')
  assert.equal(await closed, [0, null])
})

test('an upgrade is undone to what was there before, and what the operator changed since is kept', async () => {
  await using node = await makeNode(bundle)
  const flags = ['--config', node.config, '--runtime', 'rke2']
  await node.install(flags)
  const first = await node.tree()
  await writeFile(node.at('config.yaml'), `${CONFIG}log: { level: debug }\n`)
  await node.install(flags)
  assert.not.equal(await node.tree(), first)
  await node.install(['--undo'])
  assert.equal(await node.tree(), first)

  await writeFile(node.in('etc/trousseau/trousseau.yaml'), `${CONFIG}# by hand\n`)
  const said = await node.install(['--undo'])
  assert.match(said, /^keep +\/etc\/trousseau\/trousseau.yaml: it was changed since$/m)
  assert.match(await readFile(node.in('etc/trousseau/trousseau.yaml'), 'utf8'), /by hand/)
})

test('an installation that was cut off is undone as well', async () => {
  await using node = await makeNode(bundle)
  const before = await node.tree()
  const flags = ['--config', node.config, '--runtime', 'rke2']
  // The pod's manifest is the last one to be written, and cannot be.
  const pods = node.in('var/lib/rancher/rke2/agent/pod-manifests')
  await mkdir(join(pods, 'trousseau.yaml'), { recursive: true })
  const refusal = await rejection(node.install(flags))
  assert.match(String(refusal), /trousseau\.yaml is a folder/)
  await node.install(['--undo'])
  await rm(node.in('var/lib/rancher'), { recursive: true })
  assert.equal(await node.tree(), withOwner(before))
})

test('the plugin is not taken away from an API server that is told to use it', async () => {
  await using node = await makeNode(bundle)
  const flags = ['--config', node.config, '--runtime', 'rke2']
  await node.install(flags)
  await mkdir(node.in('etc/kubernetes/enc'), { recursive: true })
  const told = node.in('etc/kubernetes/enc/enc.yaml')
  await writeFile(told, 'endpoint: unix:///run/trousseau/kms.sock\n')
  const before = await node.tree()

  const refusal = await rejection(node.install(['--undo']))

  assert.match(String(refusal), /still told to use \/run\/trousseau\/kms\.sock/)
  assert.match(String(refusal), told)
  assert.equal(await node.tree(), before)
  assert.match(await node.install(['--undo', '--force']), /^Undone$/m)
})

test('for CRI-O, skopeo brings the image to its storage, and it is pinned', async () => {
  await debianTool('skopeo')
  await using node = await makeNode(bundle)
  const storage = [
    '[storage]',
    'driver = "vfs"',
    `graphroot = "${node.at('graph')}"`,
    `runroot = "${node.at('runroot')}"`,
  ]
  await writeFile(node.at('storage.conf'), storage.join('\n'))
  const env = { CONTAINERS_STORAGE_CONF: node.at('storage.conf') }
  const image = `localhost/trousseau:${manifest.version}`
  const inspect = () =>
    run('skopeo', ['inspect', `containers-storage:${image}`], { env: { ...process.env, ...env } })

  await node.install(['--config', node.config, '--runtime', 'crio'], env)

  assert.match((await inspect()).stdout, '"Architecture": "amd64"')
  const pinned = await readFile(node.in('etc/crio/crio.conf.d/50-trousseau.conf'), 'utf8')
  assert.match(pinned, `pinned_images = ["${image}"]`)
  await node.install(['--undo'], env)
  assert.instance(await rejection(inspect()), Error)
})

/** The folder of the config was there before: it keeps the owner and mode that the installer gave it. */
function withOwner(before: readonly string[]): string[] {
  return before.map((line) =>
    line.startsWith('etc/trousseau d ') ? `etc/trousseau d 750 0:${USER}` : line,
  )
}

test.run()
