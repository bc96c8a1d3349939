/**
 * Has the cluster itself rewrite objects: by StorageVersionMigration, where the API server has it
 * and a controller works on it.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import { KmsError } from '../../base/errors.ts'
import type { KubeClient } from './client.ts'
import { type Resource, resourceName } from './discovery.ts'
import { list } from './go_json.ts'
import { readAnswer, succeeded } from './status.ts'

const GROUP = 'storagemigration.k8s.io'
const POLL_MS = 1_000
/** A working controller begins at once; where nothing happens for so long, there is none. */
export const UNTOUCHED_MS = 30_000

/** The controller began the migration, and it failed. */
export class MigrationFailed extends KmsError {
  constructor(resource: Resource) {
    super(
      `StorageVersionMigration of ${resourceName(resource)} failed: the log of kube-controller-manager says why; --method rewrite does without it`,
      { code: 'unavailable' },
    )
  }
}

const group = v.object({ preferredVersion: v.object({ version: v.string() }) })
const migration = v.object({
  status: v.nullish(
    v.object({ conditions: list(v.object({ type: v.string(), status: v.string() })) }),
    {},
  ),
})

/** The version of the API, or undefined where the cluster does not have it. */
export async function migrationVersion(kube: KubeClient): Promise<string | undefined> {
  const request = { method: 'GET', path: `/apis/${GROUP}` } as const
  const answer = await kube.send(request)
  if (answer.status !== 200) return undefined
  return readAnswer(kube, request, answer, group).preferredVersion.version
}

/** False where no controller begins it. */
export async function migrateByController(
  kube: KubeClient,
  version: string,
  resource: Resource,
  stop: AbortSignal,
): Promise<boolean> {
  const collection = `/apis/${GROUP}/${version}/storageversionmigrations`
  const name = `trousseau-${resource.name}-${randomBytes(4).toString('hex')}`
  const of = { group: resource.group, resource: resource.name }
  // The first version of the API also needed a version of the resource.
  const spec = { resource: version === 'v1alpha1' ? { ...of, version: resource.version } : of }
  const body = {
    apiVersion: `${GROUP}/${version}`,
    kind: 'StorageVersionMigration',
    metadata: { name },
    spec,
  }
  await succeeded(kube, { method: 'POST', path: collection, body, signal: stop }, v.unknown())
  const path = `${collection}/${name}`
  try {
    return await outcome(kube, path, resource, stop)
  } finally {
    await kube.send({ method: 'DELETE', path }).catch(() => undefined)
  }
}

async function outcome(
  kube: KubeClient,
  path: string,
  resource: Resource,
  stop: AbortSignal,
): Promise<boolean> {
  const start = performance.now()
  for (;;) {
    const { status } = await succeeded(kube, { method: 'GET', path, signal: stop }, migration)
    const is = (type: string) =>
      status.conditions.some((each) => each.type === type && each.status === 'True')
    if (is('Succeeded')) return true
    if (is('Failed')) throw new MigrationFailed(resource)
    if (status.conditions.length === 0 && performance.now() - start > UNTOUCHED_MS) return false
    await sleep(POLL_MS, undefined, { signal: stop })
  }
}
