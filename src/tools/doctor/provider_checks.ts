/**
 * Tests each provider as the plugin would use it: login, key, round trip, clock, certificates.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { withinLimit } from '../../base/call.ts'
import { systemClock } from '../../base/clock.ts'
import { KmsError, toKmsError } from '../../base/errors.ts'
import type { EventSink, KmsEvent } from '../../base/events.ts'
import type { Notice, NoticeName } from '../../base/notices.ts'
import type { Call, Provider } from '../../base/provider.ts'
import { REMEDIES } from '../../base/remedies.ts'
import { claimedFacts } from '../../config/policy.ts'
import type { Config } from '../../config/schema.ts'
import { alone, onceMoreIfUnbound, roundTrip } from '../../kms/round_trip.ts'
import { type HeldPolicy, policyOf } from '../../plugin/policy.ts'
import { fetchSvids } from '../../plugin/svids.ts'
import type { ProviderDeps } from '../../services/provider_descriptor.ts'
import { descriptorOf, type ProviderConfig } from '../../services/registry.ts'
import { type Finding, found, ok, skipped } from './finding.ts'

const LIMIT_MS = 10_000
const SKEW_MS = 5_000
const DAY_MS = 86_400_000

export async function providerFindings(
  config: Config,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<Finding[]> {
  const held = await factsOf(config)
  try {
    const host = { environment, facts: held?.policy.facts }
    const all = await Promise.all(config.providers.map((provider) => oneProvider(provider, host)))
    return all.flat()
  } finally {
    await held?.policy.close()
  }
}

/** Undefined where no login signs facts about this node. */
async function factsOf(config: Config): Promise<HeldPolicy | undefined> {
  if (claimedFacts(config).length === 0) return undefined
  const { policy, ...others } = config
  // Facts alone: neither rules nor an outside decision.
  const facts = policy && { ...policy, rules: [], opa: undefined, waiver: undefined }
  const events: EventSink = { emit: () => undefined }
  return await policyOf({ ...others, policy: facts }, { clock: systemClock, events }, undefined)
}

async function oneProvider(
  config: ProviderConfig,
  host: Pick<ProviderDeps, 'environment' | 'facts'>,
): Promise<Finding[]> {
  const descriptor = descriptorOf(config)
  const ofNode = await nodeFindings(config)
  if (descriptor.logsInOnce?.(config) === true) {
    return [
      ...ofNode,
      skipped(
        'provider',
        `Provider "${config.name}": trying its login would use up the wrapped secret id`,
      ),
    ]
  }
  const heard: KmsEvent[] = []
  const events: EventSink = { emit: (event) => heard.push(event) }
  const deps = {
    clock: systemClock,
    events,
    requestTimeoutMs: LIMIT_MS,
    onSettings: () => undefined,
    fetchSvids,
    ...host,
  }
  const findings = await used(config.name, heard, () => descriptor.create(config, deps))
  // By now the provider is closed, so everything that its login revealed was reported.
  return [...ofNode, ...findings, ...heardFindings(config.name, heard)]
}

async function nodeFindings(config: ProviderConfig): Promise<Finding[]> {
  const examine = descriptorOf(config).examineNode
  if (examine === undefined) return []
  const remarks = await withinLimit(systemClock, LIMIT_MS, (call) =>
    examine(config, { clock: systemClock, call }),
  )
  return remarks.map((remark) => ({ ...remark, what: `Provider "${config.name}": ${remark.what}` }))
}

async function used(
  name: string,
  heard: readonly KmsEvent[],
  create: () => Provider | Promise<Provider>,
): Promise<Finding[]> {
  let provider: Provider | undefined
  try {
    const made = await create()
    provider = made
    return await withinLimit(systemClock, LIMIT_MS, (call) =>
      onceMoreIfUnbound(() => checkKey(name, made, call)),
    )
  } catch (error) {
    return [unusable(name, toKmsError(error)), ...clockFindings(name, heard)]
  } finally {
    await provider?.close()
  }
}

async function checkKey(name: string, provider: Provider, call: Call): Promise<Finding[]> {
  const before = systemClock.now()
  const { versions, serviceTime } = await provider.keyState(call)
  const usable = versions.filter(({ mayEncrypt, mayDecrypt }) => mayEncrypt && mayDecrypt)
  const newest = usable.at(-1)
  if (newest === undefined) {
    throw new KmsError('no version of the key may encrypt and decrypt', { code: 'key_unavailable' })
  }
  await roundTrip(alone(name, provider), newest.label, randomBytes, call)
  const remarks = (await provider.examine?.(call)) ?? []
  const skew = serviceTime === undefined ? 0 : serviceTime - before
  return [
    ok(
      'provider',
      `Provider "${name}" works: ${provider.describe().key}, version ${newest.label} of ${versions.length}`,
    ),
    ...remarks.map((remark) => ({ ...remark, what: `Provider "${name}": ${remark.what}` })),
    ...found(
      Math.abs(skew) > SKEW_MS,
      clockSkew(
        `This node's clock is ${Math.round(Math.abs(skew) / 1_000)} s ${skew > 0 ? 'behind' : 'ahead of'} that of provider "${name}"`,
      ),
    ),
  ]
}

function clockSkew(what: string): Finding {
  return {
    id: 'clock-skew',
    level: 'warning',
    what,
    why: 'Logins with tokens fail, and certificates are judged by the wrong time.',
    todo: 'See that the time service of the node works (chronyc tracking, timedatectl).',
  }
}

/** What a failed login revealed about the clock. */
function clockFindings(name: string, heard: readonly KmsEvent[]): Finding[] {
  return heard.flatMap((event) =>
    event.type === 'notice' && event.what === 'clock_skew'
      ? clockSkew(`Provider "${name}": ${event.message}`)
      : [],
  )
}

function unusable(name: string, { code, message }: KmsError): Finding {
  const denied = code === 'denied'
  return {
    id: denied ? 'provider-denied' : 'provider-unusable',
    level: 'error',
    what: `Provider "${name}" cannot be used: ${message}`,
    why: denied
      ? 'The login works or not by these credentials and their policy.'
      : 'Nothing that it wrapped alone can be opened, and nothing be wrapped.',
    todo: denied ? REMEDIES.denied : 'docs/operations.md has what each message means.',
  }
}

/** The notices that the provider emitted while it was used, as findings. */
function heardFindings(name: string, heard: readonly KmsEvent[]): Finding[] {
  return heard.flatMap((event): Finding[] => {
    if (event.type === 'certificate') {
      const days = Math.floor((event.notAfter - systemClock.now()) / DAY_MS)
      return found(event.near, {
        id: 'tls-expiry',
        level: 'warning',
        what: `Provider "${name}": the certificate of the ${event.kind} ends in ${days} days`,
        why: 'After that nothing can be decrypted.',
        todo: 'Renew it; the plugin follows changed files by itself.',
      })
    }
    if (event.type !== 'notice') return []
    if (event.what === 'token_restricted') return [restricted(name, event)]
    const finding = OF_NOTICES[event.what]
    if (finding === undefined) return []
    return [{ ...finding, what: `Provider "${name}": ${event.message}` }]
  })
}

/** Keyed by the name of the notice. */
const OF_NOTICES: Readonly<Partial<Record<NoticeName, Omit<Finding, 'what'>>>> = {
  wraps_forgeable: {
    id: 'wraps-forgeable',
    level: 'warning',
    why: 'Whoever has the public key and may write to etcd can plant keys of their own.',
    todo: 'Use a key that binds associated data: AES-GCM.',
  },
  authorities_ended: {
    id: 'tls-authority-ended',
    level: 'notice',
    why: 'Nothing fails for it: another authority vouches for the key service.',
    todo: 'Take them out of the file when it suits.',
  },
  authorities_left_out: {
    id: 'tls-authority-unusable',
    level: 'warning',
    why: 'If one of them is to vouch for the key service, it will not be trusted.',
    todo: 'Correct the files, or remove them from the folder.',
  },
}

/** What will end the login or shut the node out later, although it works now. */
function restricted(
  name: string,
  { level, message, fields }: Extract<Notice, { what: 'token_restricted' }>,
): Finding {
  return {
    id: `login-${fields?.restriction}`,
    level: level === 'info' ? 'notice' : 'warning',
    what: `Provider "${name}": ${message}`,
    why: 'The login works today; where it ends, nothing can be decrypted after the next login or start.',
    todo: 'docs/logins/restrictions.md has each restriction and what the plugin does.',
  }
}
