/**
 * What `manifests systemd` prints, under a real systemd: credentials that only this node can read, the order at
 * a boot, a crash, what the sandbox keeps from whoever runs in it, and what the journal has.
 *
 * @module
 */

import { readFile } from 'node:fs/promises'
import process from 'node:process'
import * as assert from 'uvu/assert'
import { stringify } from 'yaml'
import { figure } from '../_lib/figure.ts'
import { binary } from '../_lib/package/shipped.ts'
import { type OpenBao, startOpenBao, type Transit } from '../_lib/services/vault/openbao.ts'
import { SystemdMachine } from '../_lib/systemd/machine.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const test = suite('distributions/systemd', () => ({}), 600_000)

const UNIT = 'trousseau.service'
const CONFIG = '/etc/trousseau/trousseau.yaml'
const SOCKET = '/run/trousseau/kms.sock'
const MADE = '/root/made'
const STATE = '/var/lib/trousseau/state'

/** A machine with the program, its config and the role id, and the secret id where only root reads it. */
async function machineFor(folder: TempFolder, bao: OpenBao, transit: Transit) {
  const machine = await SystemdMachine.create(folder)
  const config = {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: SOCKET },
    providers: [
      {
        ...transit.provider,
        name: 'vault',
        type: 'vault',
        address: bao.address,
        allowInsecureHttp: true,
        auth: {
          method: 'approle',
          roleIdFile: '/etc/trousseau/role-id',
          secretIdFile: '/run/credentials/trousseau.service/secret-id',
        },
      },
    ],
    stateDir: STATE,
  }
  await machine.write(CONFIG, stringify(config))
  await machine.copy(transit.roleIdFile, '/etc/trousseau/role-id')
  await machine.copy(transit.secretIdFile, '/root/secret-id')
  await machine.copy(binary(process.arch === 'arm64' ? 'arm64' : 'x64'), '/usr/local/bin/trousseau')
  // It notes when it began, as whatever starts an API server.
  await machine.write(
    '/etc/systemd/system/kubelet.service',
    '[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n',
    0o644,
  )
  return machine
}

/** As the unit's own comment says, and the unit enabled but not started. */
async function install(machine: SystemdMachine): Promise<void> {
  await machine.run('trousseau', 'manifests', 'systemd', '--config', CONFIG, '--out', MADE)
  for (const [file, place] of [
    ['trousseau.service', `/etc/systemd/system/${UNIT}`],
    ['trousseau.sysusers.conf', '/etc/sysusers.d/trousseau.conf'],
    ['trousseau.tmpfiles.conf', '/etc/tmpfiles.d/trousseau.conf'],
  ]) {
    await machine.run('install', '-D', '-m', '0644', `${MADE}/${file}`, `${place}`)
  }
  await machine.run('systemd-sysusers')
  await machine.run('systemd-tmpfiles', '--create', '/etc/tmpfiles.d/trousseau.conf')
  await machine.run('mkdir', '-p', '/etc/credstore.encrypted')
  const encrypted = '/etc/credstore.encrypted/secret-id'
  await machine.run('systemd-creds', 'encrypt', '--name=secret-id', '/root/secret-id', encrypted)
  await machine.run('shred', '--remove', '/root/secret-id')
  await machine.run('systemctl', 'daemon-reload')
  await machine.run('systemctl', 'enable', UNIT, 'kubelet.service')
}

async function untilWell(machine: SystemdMachine): Promise<void> {
  await until('the plugin is well', () =>
    machine.run('trousseau', 'status', '--socket', SOCKET).then(
      () => true,
      () => false,
    ),
  ).catch(async (cause: unknown) => {
    const journal = await machine.run('journalctl', '--no-pager', '--lines=20', '--unit', UNIT)
    throw new Error(`The plugin is not well: ${journal}`, { cause })
  })
}

test('the unit logs in with a credential that only its node opens, starts before the kubelet, comes back after kill -9, and the journal has no secret', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path })
  await using machine = await machineFor(folder, bao, transit)
  await machine.powerOn()
  await install(machine)

  // As at a boot: both are wanted by the target, in one transaction.
  await machine.run('systemctl', 'start', 'multi-user.target')
  await untilWell(machine)
  const [plugin, kubelet] = await Promise.all(
    [
      [UNIT, 'ActiveEnterTimestampMonotonic'],
      ['kubelet.service', 'InactiveExitTimestampMonotonic'],
    ].map(async ([unit = '', name = '']) => Number(await machine.property(unit, name))),
  )
  assert.ok((plugin ?? 0) > 0 && (plugin ?? 0) <= (kubelet ?? 0), `${plugin} ${kubelet}`)
  const pid = await machine.property(UNIT, 'MainPID')
  const user = await machine.run('stat', '-c', '%U %a', SOCKET)
  assert.is(user, 'trousseau 600\n')
  assert.match(await machine.run('cat', `/proc/${pid}/status`), /^CapEff:\t0{16}$/m)
  assert.match(await machine.run('cat', `/proc/${pid}/status`), /^NoNewPrivs:\t1$/m)
  assert.match(await machine.run('cat', `/proc/${pid}/status`), /^Seccomp:\t2$/m)

  const crash = performance.now()
  await machine.run('kill', '-KILL', pid)
  await until('systemd has started it again', async () => {
    return (await machine.property(UNIT, 'NRestarts')) === '1'
  })
  await untilWell(machine)
  figure(`unit: well again ${((performance.now() - crash) / 1_000).toFixed(1)} s after kill -9`)

  const folderBefore = await machine.run('stat', '-c', '%i', '/run/trousseau')
  await machine.run('systemctl', 'restart', UNIT)
  await untilWell(machine)
  assert.is(await machine.run('stat', '-c', '%i', '/run/trousseau'), folderBefore)
  await machine.run('systemctl', 'reload', UNIT)
  await machine.run('systemctl', 'stop', UNIT)
  assert.is(await machine.property(UNIT, 'Result'), 'success')

  const secret = (await readFile(transit.secretIdFile, 'utf8')).trim()
  const journal = await machine.run('journalctl', '--no-pager', '--output=export')
  assert.match(journal, /trousseau/)
  const shown = await machine.run('systemctl', 'show', UNIT)
  const stored = await machine.run('cat', '/etc/credstore.encrypted/secret-id')
  for (const text of [journal, shown, stored]) assert.not.ok(text.includes(secret))
})

/** What whoever took over the plugin would try, in words of a shell; each is allowed to root without the unit. */
const ATTEMPTS = {
  'read the passwords': 'cat /etc/shadow',
  "read root's home": 'ls /root',
  'write to /etc': 'touch /etc/attempt',
  'write to /usr': 'touch /usr/attempt',
  'write to its config': `touch ${CONFIG}`,
  'write beside its state': 'touch /var/lib/attempt',
  'see the first process': 'test -d /proc/1',
  'make a device': 'mknod /run/trousseau/attempt b 1 0',
  'mount something': 'mount -t tmpfs tmpfs /mnt',
  'have a namespace': 'unshare --uts true',
  'make a file of another user': 'touch /run/trousseau/given; chown 12345 /run/trousseau/given',
  'make a program that is run as its owner':
    'touch /run/trousseau/suid; chmod u+s /run/trousseau/suid',
  'send raw packets':
    "python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)'",
  'trace a process': "python3 -c 'import ctypes; exit(ctypes.CDLL(None).ptrace(0, 0, 0, 0) != 0)'",
} as const

test('whoever takes over the plugin reads, writes and calls nothing but what it needs', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path })
  await using machine = await machineFor(folder, bao, transit)
  const attempts = Object.values(ATTEMPTS)
    .map((each, at) => `if (${each}) >/dev/null 2>&1; then echo ${at}; fi`)
    .join('\n')
  const script = `#!/bin/bash\n(${attempts}) >/run/trousseau/allowed\n`
  await machine.write('/usr/local/bin/attempts', script, 0o755)
  await machine.write(
    `/etc/systemd/system/${UNIT}.d/attempts.conf`,
    '[Service]\nExecStartPre=/usr/local/bin/attempts\n',
    0o644,
  )
  await machine.powerOn()
  await install(machine)
  const allowed = async () => {
    const lines = (await machine.run('cat', '/run/trousseau/allowed')).trim().split('\n')
    const names = Object.keys(ATTEMPTS)
    return lines.flatMap((line) => names[Number(line)] ?? []).filter(() => lines[0] !== '')
  }

  await machine.run('systemctl', 'start', UNIT)
  await untilWell(machine)
  assert.equal(await allowed(), [])

  // Without the unit, root is stopped by nothing: the attempts are real.
  await machine.run('systemctl', 'stop', UNIT)
  await machine.run('/usr/local/bin/attempts')
  assert.equal(await allowed(), Object.keys(ATTEMPTS))
})

test.run()
