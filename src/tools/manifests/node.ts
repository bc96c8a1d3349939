/** A hardened systemd unit, with the files that it needs on the node. @module */

import { basename, dirname } from 'node:path/posix'
import { pathsOf } from '../../config/paths.ts'
import { handedOver } from './handed_over.ts'
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
# The C library overwrites what is freed, so that no seed stays in this process's memory: docs/security-review.md
Environment=GLIBC_TUNABLES=glibc.malloc.perturb=165
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
    { path: 'trousseau.tmpfiles.conf', text: tmpfiles(plan) },
  ]
}

/** No device but those that the config names, and the group that Debian and Fedora give a TPM. */
function deviceLines({ config }: Plan): string {
  const { devices } = pathsOf(config)
  if (devices.length === 0) return 'PrivateDevices=yes\n'
  const allowed = devices.map((path) => `DeviceAllow=${path} rw\n`).join('')
  return `# The group is that of the device (ls -l), which must exist.\nDevicePolicy=closed\n${allowed}SupplementaryGroups=tss\n`
}

function tmpfiles(plan: Plan): string {
  const own = dirname(plan.configPath)
  return [
    `${comment('/etc/tmpfiles.d/trousseau.conf: what the unit may read; the folders of socket and state it makes itself.')}\n`,
    `d ${own} 0750 root trousseau\n`,
    ...handedOver(plan, 'trousseau'),
  ].join('')
}
