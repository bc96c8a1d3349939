/**
 * `trousseau migrate` has every object rewritten, so that nothing needs an old key any more, and
 * proves it.
 *
 * @module
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../base/clock.ts'
import { durationText } from '../../base/duration.ts'
import { KmsError } from '../../base/errors.ts'
import type { EventSink } from '../../base/events.ts'
import { keyIdHash } from '../../base/key_id_hash.ts'
import { fitted } from '../../console/fitted.ts'
import type { Io } from '../../console/io.ts'
import { tellWait } from '../../console/notices.ts'
import { EXIT, json, printable } from '../../console/output.ts'
import { Progress } from '../../console/progress.ts'
import type { StorageFlags } from '../etcd/storage.ts'
import type { Wanted } from '../etcd/verdict.ts'
import { findKubeAccess } from '../kube/access.ts'
import { connectKube, type KubeClient } from '../kube/client.ts'
import { findResources, type Resource, resourceName } from '../kube/discovery.ts'
import { encryptedResources, readEncryptionConfig } from '../kube/encryption_config.ts'
import { latestKeyIdHashes } from '../kube/key_ids.ts'
import { rewrite } from '../kube/rewrite.ts'
import { migrateByController, migrationVersion, UNTOUCHED_MS } from '../kube/storage_migration.ts'
import { type WantedFlags, wantedOf } from '../scan/wanted.ts'
import { proveMigrated } from './proof.ts'
import {
  failedOutcome,
  isComplete,
  type MigrationOutcome,
  readableReport,
  wholeOutcome,
} from './report.ts'
import { MigrateState } from './state.ts'

export interface MigrateFlags extends StorageFlags, WantedFlags {
  readonly kubeconfig?: string
  readonly context?: string
  readonly resources?: readonly string[]
  readonly encryptionConfig?: string
  readonly method: 'auto' | 'controller' | 'rewrite'
  readonly rate: number
  readonly state?: string
  readonly wait: number
  readonly dryRun: boolean
  readonly json: boolean
}

const POLL_MS = 2_000
const SHOWN_FAILURES = 5

/** @throws ConfigError, or KmsError */
export async function migrate(flags: MigrateFlags, io: Io): Promise<number> {
  const access = await findKubeAccess(flags, io.environment)
  await using kube = connectKube(access, { clock: systemClock, events: warningsTo(io) })
  const words =
    flags.encryptionConfig === undefined
      ? (flags.resources ?? ['secrets'])
      : encryptedResources(await readEncryptionConfig(flags.encryptionConfig))
  const resources = await findResources(kube, words, (group) =>
    io.err(
      `trousseau: Left out ${printable(group)}: another server keeps its objects, not this etcd, and does not serve now\n`,
    ),
  )
  const wanted = await wantedOf(flags)
  if (wanted !== undefined && !flags.dryRun) {
    await usesKeyId(kube, [...wanted.keyIds].map(keyIdHash), flags.wait, io)
  }
  const state = await openState(flags.state, kube, wanted, io)
  const outcomes = await rewriteAll(kube, resources, state, flags, io)
  if (io.stop.aborted) return await stoppedAt(state, flags, io)
  const failed = !outcomes.every(isComplete)
  const proof = flags.dryRun ? undefined : await proveMigrated(flags, resources, wanted, io)
  if (!flags.dryRun) await state.end(failed)
  const { begun } = state
  const { dryRun } = flags
  io.out(
    flags.json
      ? json({ dryRun, begun, resources: outcomes, proof })
      : fitted(readableReport({ outcomes, proof, begun, dryRun }), io),
  )
  return failed || proof?.clean === false ? EXIT.unhealthy : EXIT.ok
}

async function openState(
  path: string | undefined,
  { server }: KubeClient,
  wanted: Wanted | undefined,
  io: Io,
): Promise<MigrateState> {
  const state = await MigrateState.open(path, { server, keyIds: wanted?.keyIds ?? new Set() })
  if (state.outdated) {
    io.err(`trousseau: ${path} is of a rewrite to another key id: everything begins again\n`)
  }
  return state
}

async function stoppedAt(state: MigrateState, flags: MigrateFlags, io: Io): Promise<number> {
  await state.save()
  const how = flags.state === undefined ? 'begins anew: use --state to go on' : 'goes on from here'
  io.err(`trousseau: Stopped; the same command ${how}\n`)
  return EXIT.interrupted
}

async function rewriteAll(
  kube: KubeClient,
  resources: readonly Resource[],
  state: MigrateState,
  flags: MigrateFlags,
  io: Io,
): Promise<MigrationOutcome[]> {
  const outcomes: MigrationOutcome[] = []
  // Where no controller took up one migration, the next is not tried this way.
  let { method } = flags
  for (const resource of resources) {
    if (io.stop.aborted) break
    const name = resourceName(resource)
    const outcome = state.isDone(name)
      ? wholeOutcome(name, 'before')
      : await one(kube, resource, state, { ...flags, method }, io).catch((error: unknown) =>
          failedOutcome(name, error),
        )
    if (isComplete(outcome) && outcome.how !== 'before' && !flags.dryRun) {
      await state.finish(name)
    }
    if (outcome.how === 'rewrite') method = 'rewrite'
    outcomes.push(outcome)
  }
  return outcomes
}

async function one(
  kube: KubeClient,
  resource: Resource,
  state: MigrateState,
  flags: MigrateFlags,
  io: Io,
): Promise<MigrationOutcome> {
  const name = resourceName(resource)
  if (!flags.dryRun && (await byController(kube, resource, flags, io))) {
    return wholeOutcome(name, 'controller')
  }
  let progress: Progress | undefined
  let failures = 0
  const result = await rewrite(kube, resource, {
    rate: flags.rate,
    after: state.after(name),
    dryRun: flags.dryRun,
    stop: io.stop,
    onTotal(count) {
      progress = new Progress(io, count, name)
    },
    onDone(object) {
      progress?.step(1)
      // A later run tries again what failed, and so everything that comes after it.
      if (failures === 0) state.at(name, object)
    },
    onFailed(object, error) {
      failures += 1
      if (failures > SHOWN_FAILURES) return
      progress?.clear()
      io.err(`trousseau: ${printable(`${object.namespace}/${object.name}: ${error.message}`)}\n`)
    },
  }).catch((error: unknown) => {
    if (io.stop.aborted) return { done: 0, gone: 0, failed: 0, finished: false }
    throw error
  })
  progress?.clear()
  return { resource: name, how: 'rewrite', ...result }
}

async function byController(
  kube: KubeClient,
  resource: Resource,
  { method }: MigrateFlags,
  io: Io,
): Promise<boolean> {
  if (method === 'rewrite') return false
  const version = await migrationVersion(kube)
  const missing = 'This cluster has no StorageVersionMigration that a controller works on'
  if (version !== undefined) {
    const name = resourceName(resource)
    tellWait(
      io,
      `Waits for a controller to do the StorageVersionMigration of ${name}; one that has not begun after ${UNTOUCHED_MS / 1_000} s is taken for absent`,
    )
    const served = await migrateByController(kube, version, resource, io.stop).catch(
      (error: unknown) => {
        if (io.stop.aborted) return false
        throw error
      },
    )
    if (served || io.stop.aborted) return served
    if (method === 'auto')
      tellWait(io, `No controller took it up: ${name} is rewritten object by object`)
  }
  if (method === 'controller')
    throw new KmsError(`${missing}: use --method rewrite`, { code: 'unavailable' })
  return false
}

/** @throws KmsError where the API server still uses another key id */
async function usesKeyId(
  kube: KubeClient,
  hashes: readonly string[],
  waitMs: number,
  io: Io,
): Promise<void> {
  const end = performance.now() + waitMs
  for (let polls = 0; ; polls += 1) {
    const other = await otherKeyId(kube, hashes, io)
    if (other === undefined) return
    if (performance.now() > end || io.stop.aborted) throw other
    if (polls === 0) {
      tellWait(
        io,
        `Waits until ${kube.server} uses the new key id, which it notices within a minute; ${durationText(waitMs)} at most (--wait)`,
      )
    }
    await sleep(POLL_MS, undefined, { signal: io.stop })
  }
}

/** Describes the key id that the API server uses, where it is not a wanted one. */
async function otherKeyId(
  kube: KubeClient,
  hashes: readonly string[],
  io: Io,
): Promise<KmsError | undefined> {
  const latest = await latestKeyIdHashes(kube, io.stop)
  if (latest === undefined || latest.size === 0) {
    io.err(
      `trousseau: ${kube.server} does not tell which key id it uses (/metrics): see for yourself that it is the new one\n`,
    )
    return undefined
  }
  const others = [...latest].filter(([, hash]) => !hashes.includes(hash))
  // Another entry of its configuration may belong to another plugin, or have been removed since it
  // started.
  const used = new Set(latest.values())
  if (others.length === 0 || hashes.every((hash) => used.has(hash))) return undefined
  return new KmsError(
    `${kube.server} still uses another key id (${others.map(([name, hash]) => `provider ${printable(name)}: ${printable(hash)}`).join(', ')}): it notices a new one within a minute, so try again, or wait longer with --wait`,
    { code: 'unavailable' },
  )
}

function warningsTo(io: Io): EventSink {
  return {
    emit(event) {
      if (event.type === 'notice' && event.level === 'error')
        io.err(`trousseau: ${event.message}\n`)
    },
  }
}
