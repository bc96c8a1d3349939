/**
 * What a plugin lives through in one cycle of its life: a rotation, a reload, tokens that are revoked
 * or end, and a key service that hangs, or goes and comes back. Nothing may fail but in an outage.
 *
 * @module
 */

import { setTimeout as pause } from 'node:timers/promises'
import { metricSum } from '../_lib/cluster/metrics.ts'
import { adminPage } from '../_lib/plugin/admin_page.ts'
import { changeConfig } from '../_lib/plugin/config_change.ts'
import type { KmsLoad } from '../_lib/plugin/kms_load.ts'
import type { PluginProcess } from '../_lib/plugin/process.ts'
import type { OpenBao, Transit } from '../_lib/services/vault/openbao.ts'
import { until } from '../_lib/wait.ts'

/** Longer than the plugin waits for a provider before it says so. */
const OUTAGE_MS = 6_000
/** Between two events, so that each meets a plugin that works. */
const BETWEEN_MS = 1_000
const RECOVERY_MS = 60_000
/** Every so many cycles the key service is stopped instead of frozen. */
const STOPS_EVERY = 3

interface Life {
  readonly bao: OpenBao
  readonly transit: Transit
  readonly plugin: PluginProcess
  readonly load: KmsLoad
  readonly adminSocket: string
  /** The config of a cycle: two in a row differ. */
  readonly configOf: (cycle: number) => Readonly<Record<string, unknown>>
}

export interface CycleResult {
  /** Of requests that began when nothing was wrong. */
  readonly failures: readonly string[]
  readonly failedInOutage: number
  readonly requests: number
  /** From the end of the outage until Status answers. */
  readonly recoveryMs: number
}

export async function liveThrough(life: Life, cycle: number): Promise<CycleResult> {
  const { bao, transit, plugin, load, adminSocket, configOf } = life
  const before = await keyIdOf(plugin)
  await bao.rotate(transit)
  await until('the key id follows', async () => (await keyIdOf(plugin)) !== before)
  await pause(BETWEEN_MS)

  const known = await reloads(adminSocket)
  await changeConfig(plugin, configOf(cycle))
  await until('the config is taken up', async () => (await reloads(adminSocket)) > known)
  await pause(BETWEEN_MS)

  await transit.revokeTokens()
  await pause(BETWEEN_MS)

  const start = performance.now()
  await outage(bao, cycle)
  const end = performance.now()
  const limits = { limitMs: RECOVERY_MS, everyMs: 50 }
  await until('Status answers again', () => isWell(plugin, end, load), limits)
  const recovered = performance.now()
  await pause(BETWEEN_MS)

  // What goes on for hours must not be kept for hours.
  const attempts = load.attempts.splice(0)
  const failed = attempts.filter((each) => each.failed !== undefined)
  const isOutage = (each: { readonly start: number; readonly end: number }) =>
    each.end >= start && each.start <= recovered
  return {
    failures: failed
      .filter((each) => !isOutage(each))
      .map(({ kind, failed: error }) => `${kind}: ${error?.message}`),
    failedInOutage: failed.filter(isOutage).length,
    requests: attempts.length,
    recoveryMs: recovered - end,
  }
}

/** Asked of the metrics: the log of hours is long. */
async function reloads(adminSocket: string): Promise<number> {
  const metrics = await adminPage(adminSocket, '/metrics')
  return metricSum(metrics, 'trousseau_config_reloads_total', { result: 'applied' })
}

async function outage(bao: OpenBao, cycle: number): Promise<void> {
  if (cycle % STOPS_EVERY !== 0) {
    bao.freeze()
    await pause(OUTAGE_MS)
    bao.thaw()
    return
  }
  await bao.stop()
  await pause(OUTAGE_MS)
  await bao.start()
}

/** Well again when Status answers, and the load has encrypted and decrypted since. */
async function isWell(plugin: PluginProcess, since: number, load: KmsLoad): Promise<boolean> {
  const works = (kind: 'encrypt_v2' | 'decrypt_v2') =>
    load.of(kind, since).some(({ failed }) => failed === undefined)
  const keyId = await plugin.client.v2.status().catch(() => undefined)
  return keyId?.healthz === 'ok' && works('encrypt_v2') && works('decrypt_v2')
}

function keyIdOf({ client }: PluginProcess): Promise<string | undefined> {
  return client.v2.status().then(
    ({ keyId }) => keyId,
    () => undefined,
  )
}
