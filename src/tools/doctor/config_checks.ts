/** Checks the config alone: problems at a boot, and settings that do not fit together. @module */

import { keysOf, pathsOf } from '../../config/paths.ts'
import type { Config } from '../../config/schema.ts'
import { counted } from '../../console/progress.ts'
import { loadRecoverySealer } from '../../recovery/key_file.ts'
import type { Address } from '../../services/provider_descriptor.ts'
import { descriptorOf, type ProviderConfig } from '../../services/registry.ts'
import { type Finding, found, ok } from './finding.ts'
import { pathFindings } from './path_checks.ts'

const API_SERVER_TIMEOUT_MS = 3_000
const IN_CLUSTER = /\.(?:svc|cluster\.local)(?:\.|$)/
const LOOPBACK = /^(?:localhost|127\.[\d.]+|\[::1\])$/

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
      why: 'No alert notices an outage, and a probe has only the socket to ask.',
      todo: 'Set admin: { listen: "127.0.0.1:8787" }.',
    }),
    ...keysOf(config).flatMap((provider) => providerFindings(provider)),
    ...found(/^(?:search|domain)\s.*\bsvc\.cluster\.local/m.test(resolvConf), {
      id: 'boot-cluster-dns',
      level: 'warning',
      what: "This resolver is the cluster's own DNS (/etc/resolv.conf)",
      why: 'It is down whenever the API server is, and then no key service is found by its name.',
      todo: 'Use the resolver of the node: dnsPolicy: Default, hostNetwork: true.',
    }),
    ...(await recoveryFindings(config)),
    ...(await pathFindings(pathsOf(config))),
  ]
}

function providerFindings(provider: ProviderConfig): Finding[] {
  const where = `Provider "${provider.name}"`
  const descriptor = descriptorOf(provider)
  const addresses = descriptor.addresses(provider)
  const clear = addresses.find(isInTheClear)
  const inside = addresses.find(({ url }) => IN_CLUSTER.test(hostOf(url)))
  return [
    ...found(clear !== undefined, {
      id: 'config-plain-http',
      level: 'warning',
      what: `${where} is asked over http:// (${hostOf(clear?.url ?? '')})`,
      why: 'Anybody on the way reads tokens and keys.',
      todo: 'Use https:// with tls.caFile; http:// only on loopback.',
    }),
    ...found(inside !== undefined, {
      id: 'boot-in-cluster-address',
      level: 'warning',
      what: `${where} has an address inside a cluster (${hostOf(inside?.url ?? '')})`,
      why: 'If it is the cluster that this plugin serves, neither starts without the other.',
      todo: 'Run the key service outside, or in another cluster, and use an address that the node resolves.',
    }),
    ...descriptor.remarks(provider).map((remark) => ({
      ...remark,
      what: `${where} ${remark.what}`,
    })),
  ]
}

function isInTheClear({ url, as }: Address): boolean {
  return as === 'service' && url.startsWith('http://') && !LOOPBACK.test(hostOf(url))
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
        todo: 'trousseau recovery-key create, on a machine that is offline: docs/recovery.md.',
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
        todo: 'Name the file that "trousseau recovery-key create" printed.',
      },
    ]
  }
  const several = typeof protection === 'object' && protection.mode === 'threshold'
  return [
    ok(
      'recovery-recipients',
      `${counted(recovery.recipients.length, 'recovery recipient')} can be sealed to`,
    ),
    ...found(several, {
      id: 'recovery-bypass',
      level: 'notice',
      what: 'A recovery recipient opens alone, whatever protection.k says',
      why: 'acknowledgeBypass was given: it is as strong as the one private key.',
      todo: 'Keep that key offline, and split it among people.',
    }),
  ]
}
