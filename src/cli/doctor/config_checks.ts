/** What a config alone tells: traps at boot, and settings that fit badly. @module */

import { readFile, stat } from 'node:fs/promises'
import type { Config } from '../../config/schema.ts'
import { systemCodeOf } from '../../kms/errors.ts'
import { loadRecoverySealer } from '../../recovery/key_file.ts'
import { filesOf } from '../manifests/plan.ts'
import { type Finding, found, ok } from './finding.ts'
import { spiffeFindings } from './spiffe_checks.ts'

const API_SERVER_TIMEOUT_MS = 3_000
const OTHERS = 0o007
const GROUP_WRITES = 0o020
const IN_CLUSTER = /\.(?:svc|cluster\.local)(?:\.|$)/
const VOLATILE = /^\/(?:tmp|run|dev\/shm|var\/run)\//
const GIVEN = /^\/(?:run\/credentials|var\/run\/secrets)\//
type Provider = Config['providers'][number]

export async function configFindings(config: Config, resolvConf: string): Promise<Finding[]> {
  return [
    ...found(config.requestTimeout >= API_SERVER_TIMEOUT_MS, {
      id: 'config-timeout',
      level: 'warning',
      what: `requestTimeout is ${config.requestTimeout} ms`,
      why: 'kube-apiserver gives up after 3 s and then never learns what was wrong.',
      todo: 'Keep requestTimeout below the timeout in the EncryptionConfiguration: 2500ms.',
    }),
    ...found(config.stateDir === undefined, {
      id: 'config-no-state',
      level: 'notice',
      what: 'The config has no stateDir',
      why: 'A restart in an outage of the key service ends the hold, and a rollback of the key is not seen.',
      todo: 'Set stateDir to a folder of the plugin, such as /var/lib/trousseau/state.',
    }),
    ...found(config.admin === undefined, {
      id: 'config-no-admin',
      level: 'notice',
      what: 'The config has no admin.listen',
      why: 'Nobody is told of an outage, and a plugin that hangs is not restarted.',
      todo: 'Set admin: { listen: "127.0.0.1:8787" }.',
    }),
    ...config.providers.flatMap((provider) => providerFindings(provider)),
    ...(await spiffeFindings(config)),
    ...found(/^(?:search|domain)\s.*\bsvc\.cluster\.local/m.test(resolvConf), {
      id: 'boot-cluster-dns',
      level: 'warning',
      what: "This resolver is the cluster's own DNS (/etc/resolv.conf)",
      why: 'It is down whenever the API server is, and then no key service is found by its name.',
      todo: 'Use the resolver of the node: dnsPolicy: Default, hostNetwork: true.',
    }),
    ...(await recoveryFindings(config)),
    ...(await fileFindings(config)),
  ]
}

function providerFindings(provider: Provider): Finding[] {
  const where = `Provider "${provider.name}"`
  const addresses = addressesIn(provider)
  const auth = 'auth' in provider ? provider.auth : undefined
  const method = auth !== undefined && 'method' in auth ? auth.method : undefined
  const tls = 'tls' in provider ? provider.tls : {}
  return [
    ...found(
      addresses.some((address) => address.startsWith('http://')),
      {
        id: 'config-plain-http',
        level: 'warning',
        what: `${where} is asked over http://`,
        why: 'Anybody on the way reads tokens and keys.',
        todo: 'Use https:// with tls.caFile; http:// only on loopback.',
      },
    ),
    ...found('dangerouslySkipVerification' in tls && tls.dangerouslySkipVerification === true, {
      id: 'tls-not-verified',
      level: 'error',
      what: `${where} takes any certificate (tls.dangerouslySkipVerification)`,
      why: 'Anybody on the way can be the key service.',
      todo: 'Name the authority in tls.caFile, and take it out.',
    }),
    ...found(
      addresses.some((address) => IN_CLUSTER.test(hostOf(address))),
      {
        id: 'boot-in-cluster-address',
        level: 'warning',
        what: `${where} has an address inside a cluster`,
        why: 'If it is the cluster that this plugin serves, neither starts without the other.',
        todo: 'Run the key service outside, or in another cluster, and use an address that the node resolves.',
      },
    ),
    ...found(method === 'kubernetes', {
      id: 'boot-kubernetes-login',
      level: 'warning',
      what: `${where} logs in with a ServiceAccount (auth.method kubernetes)`,
      why: 'The key service asks an API server about the token: if it is the one that this plugin serves, neither starts without the other. A static pod has no such token at all.',
      todo: 'Use jwt with a key of the node, cert or approle: docs/logins/cold-boot.md.',
    }),
    ...found(isWrapped(provider), {
      id: 'boot-wrapped-secret-id',
      level: 'warning',
      what: `${where} unwraps its secret id`,
      why: 'That works once: after a boot the node cannot log in.',
      todo: 'Use it to bring a secret id in, then a plain one: docs/logins/approle.md.',
    }),
  ]
}

/** Whether the login consumes a token that works once: nobody may try it. */
export function isWrapped(provider: Provider): boolean {
  const auth = 'auth' in provider ? provider.auth : undefined
  return auth !== undefined && 'wrappedRole' in auth && auth.wrappedRole !== undefined
}

function addressesIn(provider: Provider): readonly string[] {
  if (!('address' in provider)) return []
  const several = 'addresses' in provider ? (provider.addresses ?? []) : []
  return [...several, ...(provider.address === undefined ? [] : [provider.address])]
}

function hostOf(address: string): string {
  return URL.canParse(address) ? new URL(address).hostname : ''
}

async function recoveryFindings({ recovery, protection }: Config): Promise<Finding[]> {
  if (recovery === undefined) {
    return [
      {
        id: 'recovery-none',
        level: 'notice',
        what: 'The config has no recovery.recipients',
        why: 'When all key services are lost, so is every Secret.',
        todo: 'trousseau recovery keygen, on a machine that is offline: docs/recovery.md.',
      },
    ]
  }
  try {
    await loadRecoverySealer(recovery.recipients)
  } catch (error) {
    return [
      {
        id: 'recovery-unusable',
        level: 'error',
        what: error instanceof Error ? error.message : String(error),
        why: 'The plugin does not start with such a key.',
        todo: 'Name the file that "trousseau recovery keygen" printed.',
      },
    ]
  }
  const several = typeof protection === 'object' && protection.mode === 'threshold'
  return [
    ok('recovery-recipients', `${recovery.recipients.length} recovery recipients can be sealed to`),
    ...found(several, {
      id: 'recovery-bypass',
      level: 'notice',
      what: 'A recovery recipient opens alone, whatever protection.k says',
      why: 'acknowledgeBypass was given: it is as strong as the one private key.',
      todo: 'Keep that key offline, and split it among people.',
    }),
  ]
}

async function fileFindings(config: Config): Promise<Finding[]> {
  const files = filesOf(config)
  const findings = await Promise.all(files.map(oneFile))
  const all = findings.flat()
  return all.length > 0 || files.length === 0
    ? all
    : [ok('files', `${files.length} files of the config are there, and readable by nobody else`)]
}

async function oneFile(path: string): Promise<Finding[]> {
  const volatile = VOLATILE.test(path) && !GIVEN.test(path)
  try {
    const { mode } = await stat(path)
    const open = (mode & OTHERS) !== 0 && !isPublic(await readFile(path, 'utf8'))
    return [
      ...found(open || (mode & GROUP_WRITES) !== 0, {
        id: 'file-open',
        level: 'warning',
        what: `${path} has mode ${(mode & 0o777).toString(8).padStart(4, '0')}`,
        why: 'Everybody on this node may read or change it.',
        todo: `chmod 0640 ${path}, or 0600`,
      }),
      ...found(volatile, {
        id: 'boot-volatile-file',
        level: 'warning',
        what: `${path} is gone after a boot`,
        why: 'The plugin then cannot log in, and the API server waits for it.',
        todo: 'Keep it below /etc or /var/lib, or let systemd give it (LoadCredentialEncrypted).',
      }),
    ]
  } catch (cause) {
    return [
      {
        id: 'file-missing',
        level: 'error',
        what: `${path} cannot be read (${systemCodeOf(cause) ?? 'unknown error'})`,
        why: 'The config names it.',
        todo: 'Put it there, or correct the path. Run doctor as the user of the plugin, or as root.',
      },
    ]
  }
}

/** Certificates and public keys are for everybody. */
function isPublic(text: string): boolean {
  return /BEGIN CERTIFICATE|"kty"/.test(text) && !/PRIVATE KEY|"d":/.test(text)
}
