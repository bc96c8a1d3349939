/** A hardened systemd unit, with the files that it needs on the node. @module */

import { basename, dirname } from 'node:path/posix'
import { pathsOf } from '../../config/paths.ts'
import { CREDENTIALS, type Plan } from './plan.ts'
import { comment, type ManifestFile } from './text.ts'

const UNIT_CREDENTIALS = `${CREDENTIALS}trousseau.service/`

export function systemd(plan: Plan): ManifestFile[] {
  const { written, config, user, configPath } = plan
  const runtime = written.filter((path) => path.startsWith('/run/'))
  const state = written.filter((path) => path.startsWith('/var/lib/'))
  const logs = written.filter((path) => path.startsWith('/var/log/'))
  const made = [...runtime, ...state, ...logs]
  const other = written.filter((path) => !made.includes(path))
  const credentials = pathsOf(config)
    .files.filter((path) => path.startsWith(UNIT_CREDENTIALS))
    .map((path) => basename(path))
  const head = `/etc/systemd/system/trousseau.service, with /etc/sysusers.d/trousseau.conf and /etc/tmpfiles.d/trousseau.conf beside it:

  systemd-sysusers && systemd-tmpfiles --create /etc/tmpfiles.d/trousseau.conf
  systemctl daemon-reload && systemctl enable --now trousseau.service

It runs as the user trousseau. The file in tmpfiles.d hands it what lies beside the config, also where root made
that for itself; what the config names elsewhere must be readable for the group trousseau (chown root:trousseau,
chmod 0640). Better, keep secrets encrypted with the key of this node's TPM. For each:

  systemd-creds encrypt --name=secret-id /path/to/secret-id /etc/credstore.encrypted/secret-id

and in the config name ${UNIT_CREDENTIALS}secret-id: this unit then gets a line for it. A credential
that changes is read at the next start of the unit.`
  const unit = `${comment(head)}
[Unit]
Description=Trousseau, KMS provider plugin of kube-apiserver
Documentation=man:systemd-creds(1)
Wants=network-online.target
After=network-online.target time-sync.target
# API servers wait for nobody, but start sooner with the socket there: before whatever starts them.
Before=kubelet.service k3s.service rke2-server.service
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=/usr/local/bin/trousseau serve --config ${configPath}
ExecReload=kill -HUP $MAINPID
Restart=always
RestartSec=1
TimeoutStopSec=15
User=trousseau
Group=trousseau
UMask=0077
${runtime.map((path) => `RuntimeDirectory=${path.slice('/run/'.length)}\n`).join('')}RuntimeDirectoryMode=0700
# An API server that mounted the folder would look at an empty one after a restart otherwise.
RuntimeDirectoryPreserve=yes
${state.map((path) => `StateDirectory=${path.slice('/var/lib/'.length)}\n`).join('')}StateDirectoryMode=0700
${logs.map((path) => `LogsDirectory=${path.slice('/var/log/'.length)}\nLogsDirectoryMode=0700\n`).join('')}${other.map((path) => `ReadWritePaths=${path}\n`).join('')}${credentials
  .map((name) => `LoadCredentialEncrypted=${name}:/etc/credstore.encrypted/${name}\n`)
  .join('')}
# Measured: docs/footprint.md
MemoryHigh=400M
MemoryMax=512M
TasksMax=64
OOMScoreAdjust=-900
LimitCORE=0
LimitNOFILE=8192

CapabilityBoundingSet=
AmbientCapabilities=
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
${deviceLines(plan)}PrivateUsers=yes
PrivateIPC=yes
ProtectProc=invisible
${config.policy === undefined ? 'ProcSubset=pid\n' : ''}ProtectClock=yes
ProtectHostname=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
# No MemoryDenyWriteExecute: a JavaScript engine makes code in memory.

[Install]
WantedBy=multi-user.target
`
  const users = `# /etc/sysusers.d/trousseau.conf\nu trousseau ${user} "KMS provider plugin of kube-apiserver" - -\n`
  return [
    { path: 'trousseau.service', text: unit },
    { path: 'trousseau.sysusers.conf', text: users },
    { path: 'trousseau.tmpfiles.conf', text: handedOver(plan, state) },
  ]
}

/** No device but those that the config names, and the group that Debian and Fedora give a TPM. */
function deviceLines({ config }: Plan): string {
  const { devices } = pathsOf(config)
  if (devices.length === 0) return 'PrivateDevices=yes\n'
  const allowed = devices.map((path) => `DeviceAllow=${path} rw\n`).join('')
  return `# The group is that of the device (ls -l), which must exist.\nDevicePolicy=closed\n${allowed}SupplementaryGroups=tss\n`
}

/**
 * Lines that let the unit's user read what root wrote. Files and folders of others stay as they
 * are.
 */
function handedOver({ config, configPath }: Plan, state: readonly string[]): string {
  const own = dirname(configPath)
  const keys = config.providers.flatMap((each) => (each.type === 'local' ? [each.keyFile] : []))
  const { files, folders } = pathsOf(config)
  const inside = [configPath, ...files, ...folders].filter((path) => path.startsWith(`${own}/`))
  const between = new Set(inside.flatMap((path) => parentsOf(path, own)))
  const above = new Set(state.flatMap((path) => parentsOf(path, '/var/lib')))
  return [
    `${comment('/etc/tmpfiles.d/trousseau.conf: what the unit may read; the folders of socket and state it makes itself.')}\n`,
    `d ${own} 0750 root trousseau\n`,
    ...[...between].map((path) => `z ${path} 0750 root trousseau\n`),
    // "~" keeps folders, such as those of authorities, accessible.
    ...inside
      .filter((path) => !keys.includes(path))
      .map((path) => `z ${path} ~0750 root trousseau\n`),
    ...keys.map((path) => `z ${path} 0600 trousseau trousseau\n`),
    ...[...above].map((path) => `d ${path} 0755 root root\n`),
  ].join('')
}

/** The folders between `top` and `path`, the upper ones first. */
function parentsOf(path: string, top: string): string[] {
  const folder = dirname(path)
  return folder.startsWith(`${top}/`) ? [...parentsOf(folder, top), folder] : []
}
