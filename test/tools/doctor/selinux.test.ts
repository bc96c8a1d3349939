/**
 * Doctor's checks of SELinux labels, on a made-up kernel: a tree for /sys and /proc, and a `stat`
 * that knows labels.
 *
 * @module
 */

import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import process from 'node:process'
import * as assert from 'uvu/assert'
import { DRAFT_SUFFIX } from '../../../src/base/socket_path.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { selinuxFindings } from '../../../src/tools/doctor/selinux_checks.ts'
import { labelIn } from '../../../src/tools/doctor/selinux_label.ts'
import type { StaticPod } from '../../../src/tools/kube/static_pod.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('tools/doctor/selinux', () => ({}))

interface Made {
  readonly enforce?: string
  /** Labels of processes; without one it does not run. */
  readonly plugin?: string
  readonly apiServer?: string
  readonly socket?: string
  readonly folder?: string
  readonly state?: string
  /** Without it there is no program that tells labels. */
  readonly stat?: false
  readonly pluginPod?: object
}

/** A node where the API server of RKE2 asks a plugin that runs as the documentation says. */
const WELL: Made = {
  enforce: '1',
  plugin: 'system_u:system_r:spc_t:s0',
  apiServer: 'system_u:system_r:rke2_service_t:s0:c12,c900',
  socket: 'system_u:object_r:container_file_t:s0',
  folder: 'system_u:object_r:container_file_t:s0',
  state: 'system_u:object_r:var_lib_t:s0',
}

async function found(made: Made) {
  await using folder = await tempFolder()
  const put = async (path: string, text: string) => {
    await mkdir(dirname(folder.at(path)), { recursive: true })
    await writeFile(folder.at(path), text)
  }
  const socketPath = folder.at('run/kms.sock')
  const stateDir = folder.at('state')
  if (made.enforce !== undefined) await put('sys/fs/selinux/enforce', made.enforce)
  // A connection bears the path as well, and is not what listens.
  const head = 'Num       RefCount Protocol Flags    Type St Inode Path'
  const asked = `0: 00000003 00000000 00000000 0001 03 41 ${socketPath}`
  const listens = `0: 00000002 00000000 00010000 0001 01 42 ${socketPath}${DRAFT_SUFFIX}`
  await put('proc/net/unix', `${[head, asked, listens].join('\n')}\n`)
  const running = { 7: [made.apiServer, 'kube-apiserver'], 9: [made.plugin, 'node'] } as const
  for (const [pid, [label, comm]] of Object.entries(running)) {
    if (label === undefined) continue
    await put(`proc/${pid}/comm`, `${comm}\n`)
    await put(`proc/${pid}/attr/current`, `${label}\0`)
    await mkdir(folder.at(`proc/${pid}/fd`))
    await symlink(comm === 'node' ? 'socket:[42]' : 'socket:[41]', folder.at(`proc/${pid}/fd/3`))
  }
  const labels: [string, string | undefined][] = [
    [socketPath, made.socket],
    [dirname(socketPath), made.folder],
    [stateDir, made.state],
  ]
  const cases = labels
    .filter(([, label]) => label !== undefined)
    .map(([path, label]) => `${path}) echo ${label} ;;`)
  await put('bin/stat', `#!/bin/sh\ncase $5 in\n${cases.join('\n')}\n*) exit 1 ;;\nesac\n`)
  await chmod(folder.at('bin/stat'), 0o755)
  const provider = { name: 'l', type: 'local', keyFile: '/srv/keys' }
  const config = { socket: { path: socketPath }, providers: [provider], stateDir }
  const typed = { apiVersion: 'trousseau.io/v1', kind: 'TrousseauConfig', ...config }
  await put('config.json', JSON.stringify(typed))
  return await selinuxFindings(await loadConfig(folder.at('config.json')), {
    roots: { sys: folder.at('sys'), proc: folder.at('proc') },
    searchPath: made.stat === false ? folder.at('none') : folder.at('bin'),
    pluginPod: made.pluginPod as StaticPod | undefined,
  })
}

const idsOf = (findings: readonly { id: string; level: string }[]) =>
  findings.map(({ id, level }) => `${id} ${level}`)

test('selinuxFindings() says nothing at all where the kernel has no SELinux', async () => {
  const { enforce: _, ...without } = WELL
  const broken = { folder: 'system_u:object_r:var_run_t:s0', plugin: 'u:r:container_t:s0:c1' }

  assert.equal(await found({ ...without, ...broken }), [])
})

test('selinuxFindings() finds nothing to mend where the labels are as documented', async () => {
  const findings = await found(WELL)

  assert.equal(idsOf(findings), ['selinux ok'])
  assert.match(String(findings[0]?.what), /spc_t serves container_file_t, and rke2_service_t asks/)
})

const VAR_RUN = 'system_u:object_r:var_run_t:s0'
const CONFINED = 'system_u:system_r:container_t:s0'
const FAULTS: readonly [string, Made, readonly string[]][] = [
  [
    'a confined plugin whose folders are not of containers',
    { plugin: CONFINED, apiServer: CONFINED, folder: VAR_RUN },
    ['selinux-folder warning', 'selinux-folder warning'],
  ],
  [
    'a socket that a confined API server may not write to',
    { socket: VAR_RUN, folder: VAR_RUN },
    ['selinux-socket warning'],
  ],
  [
    'a plugin of a type that a confined API server may not connect to',
    { plugin: 'system_u:system_r:unconfined_service_t:s0' },
    ['selinux-connect warning'],
  ],
  [
    'categories of a plugin that its API server has not',
    { plugin: 'system_u:system_r:spc_t:s0:c390,c679' },
    ['selinux-categories warning'],
  ],
  [
    'categories of a socket that its API server has not',
    { socket: 'system_u:object_r:container_file_t:s0:c12,c901' },
    ['selinux-categories warning'],
  ],
  [
    'the same on a permissive kernel, as a notice',
    { enforce: '0', socket: VAR_RUN, folder: VAR_RUN },
    ['selinux-socket notice'],
  ],
]
for (const [what, fault, wanted] of FAULTS) {
  test(`selinuxFindings() finds ${what}`, async () => {
    const findings = await found({ ...WELL, ...fault })

    assert.equal(idsOf(findings), wanted)
    for (const { what: said, why, todo } of findings) {
      assert.ok(why !== undefined && todo !== undefined)
      assert.not.match(`${said} ${why} ${todo}`, /undefined/)
    }
  })
}

test('selinuxFindings() finds nothing where an API server is confined by nothing', async () => {
  const apiServer = 'system_u:system_r:container_runtime_t:s0'

  assert.equal(idsOf(await found({ ...WELL, apiServer, socket: VAR_RUN, folder: VAR_RUN })), [
    'selinux ok',
  ])
})

test('selinuxFindings() takes the type of a plugin that does not run from its manifest', async () => {
  const { plugin: _, socket: __, ...stopped } = WELL
  const pod = (securityContext: object, container = {}) => ({
    spec: { securityContext, containers: [{ securityContext: container }] },
  })
  const folder = VAR_RUN

  const unsaid = await found({ ...stopped, folder, pluginPod: pod({ runAsUser: 65_532 }) })
  const free = await found({ ...stopped, pluginPod: pod({ seLinuxOptions: { type: 'spc_t' } }) })

  // By default a container is confined, of a type that this API server may not connect to.
  assert.equal(idsOf(unsaid), [
    'selinux-folder warning',
    'selinux-folder warning',
    'selinux-connect warning',
  ])
  assert.match(String(unsaid[0]?.what), /run is labelled system_u:object_r:var_run_t:s0/)
  assert.equal(idsOf(free), ['selinux skipped'])
  for (const container of [{ privileged: true }, { seLinuxOptions: { type: 'spc_t' } }]) {
    const pluginPod = pod({ seLinuxOptions: {} }, container)
    assert.equal(idsOf(await found({ ...stopped, folder, pluginPod })), ['selinux skipped'])
  }
})

test('selinuxFindings() says what it could not see', async () => {
  const { plugin: _, ...stopped } = WELL

  const blind = await found({ ...WELL, stat: false })
  const unserved = await found(stopped)

  assert.equal(idsOf(blind), ['selinux skipped'])
  assert.match(String(blind[0]?.what), /SELinux enforces; not seen, .*: the label of the socket/)
  assert.equal(idsOf(unserved), ['selinux skipped'])
  assert.match(String(unserved[0]?.what), /: the type of the plugin \(/)
})

test('labelIn() reads type and categories of a label, and nothing of what is none', () => {
  const label = labelIn('system_u:system_r:svirt_lxc_net_t:s0:c1,c5.c7-s0:c0.c1023\0')

  assert.is(label?.type, 'svirt_lxc_net_t')
  assert.equal([...(label?.categories ?? [])], [1, 5, 6, 7])
  assert.is(labelIn('u:r:t')?.categories.size, 0)
  for (const none of ['', '?', 'kernel', 'unconfined', 'a:b:c d'])
    assert.is(labelIn(none), undefined)
})

test("selinuxFindings() sees this machine's own listener by its descriptor", async () => {
  // The real /proc: what is made up above has the form of the kernel's.
  const { processesOf } = await import('../../../src/tools/doctor/selinux_node.ts')
  await using folder = await tempFolder()
  const { createServer } = await import('node:net')
  const server = createServer().listen(folder.at('s.sock'))
  await mkdir(folder.at('proc/net'), { recursive: true })
  await symlink('/proc/net/unix', join(folder.path, 'proc/net/unix'))
  await mkdir(folder.at('proc/1/attr'), { recursive: true })
  await symlink(`/proc/${process.pid}/fd`, folder.at('proc/1/fd'))
  await writeFile(folder.at('proc/1/attr/current'), 'u:r:seen_t:s0')

  const seen = await processesOf(folder.at('s.sock'), { proc: folder.at('proc'), sys: '/sys' })
  server.close()

  assert.is(seen.plugin?.type, 'seen_t')
})

test.run()
