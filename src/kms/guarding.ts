/** Asks the gate about each key that a request would use. @module */

import type { KmsError } from '../base/errors.ts'
import type { KmsApi } from '../base/events.ts'
import type { Gate, KeyUse } from '../base/gate.ts'
import { SEED_BYTES } from '../base/limits.ts'
import type { Call } from '../base/provider.ts'
import type { RequestRecord } from '../base/request_record.ts'
import type { ActiveKeys } from './health.ts'
import type { ProviderMonitor } from './provider_monitor.ts'

/** A key that may open something. */
interface GuardedItem {
  readonly monitor: ProviderMonitor
  readonly item: { readonly version: string }
}

/**
 * Returns a promise only where something is not known yet, since that costs as much as asking.
 *
 * @throws KmsError `policy_denied` where a key that Encrypt would use may not be used
 */
export function admitEncrypt(
  gate: Gate,
  api: KmsApi,
  active: ActiveKeys,
  size: number,
  call: Call,
): Promise<void> | undefined {
  const uses = encryptUses(api, active, size, call.record)
  const waits = uses.flatMap((use) => gate.wait(use, call) ?? [])
  if (waits.length > 0) return Promise.all(waits).then(() => admitAll(gate, uses))
  admitAll(gate, uses)
  return undefined
}

function admitAll(gate: Gate, uses: readonly KeyUse[]): void {
  for (const use of uses) {
    const refusal = gate.admit(use)
    if (refusal !== undefined) throw refusal
  }
}

/** Why the next Encrypt of a seed would be refused; from memory. */
export function encryptRefusal(gate: Gate, active: ActiveKeys): KmsError | undefined {
  for (const use of encryptUses('v2', active, SEED_BYTES)) {
    const refusal = gate.refusal(use)
    if (refusal !== undefined) return refusal
  }
  return undefined
}

/**
 * Those whose keys may be used.
 *
 * @throws KmsError `policy_denied` where fewer than `need` may
 */
export async function admitted<T extends GuardedItem>(
  gate: Gate,
  items: readonly T[],
  { api, size, need }: { readonly api: KmsApi; readonly size: number; readonly need: number },
  call: Call,
): Promise<readonly T[]> {
  const refusals: KmsError[] = []
  const left: T[] = []
  for (const each of items) {
    const { monitor, item } = each
    const key = keyOf(monitor, item.version)
    const use = { operation: 'decrypt', api, ...key, size, record: call.record } as const
    const waiting = gate.wait(use, call)
    if (waiting !== undefined) await waiting
    const refusal = gate.admit(use)
    if (refusal === undefined) left.push(each)
    else refusals.push(refusal)
  }
  const [first] = refusals
  if (first !== undefined && left.length < need) throw first
  return left
}

function encryptUses(
  api: KmsApi,
  { inputs, monitors }: ActiveKeys,
  size: number,
  record?: RequestRecord,
): KeyUse[] {
  return monitors.map((monitor, member) => {
    const version = inputs.members[member]?.version ?? ''
    return { operation: 'encrypt', api, ...keyOf(monitor, version), size, record }
  })
}

function keyOf({ batched }: ProviderMonitor, keyVersion: string) {
  return { provider: batched.name, keyVersion }
}
