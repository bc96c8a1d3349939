/** The results of a rewrite, resource by resource. @module */

import { printable } from '../../console/output.ts'
import { counted, grouped } from '../../console/progress.ts'
import type { Rewritten } from '../kube/rewrite.ts'
import { KubeStatusError } from '../kube/status.ts'
import { MigrationFailed } from '../kube/storage_migration.ts'
import { type Proof, readableProof } from './proof.ts'

export interface MigrationOutcome extends Rewritten {
  readonly resource: string
  readonly how: 'controller' | 'rewrite' | 'before'
  /** Why the rewrite of this resource did not begin. */
  readonly why?: string
}

interface Report {
  readonly outcomes: readonly MigrationOutcome[]
  readonly proof: Proof | undefined
  /** ISO 8601. */
  readonly begun: string
  readonly dryRun: boolean
}

const UNAUTHORIZED = 401
const NOTHING = { done: 0, gone: 0, failed: 0 }

export function isComplete({ finished, failed }: MigrationOutcome): boolean {
  return finished && failed === 0
}

/** A result that names no single object. */
export function wholeOutcome(resource: string, how: 'controller' | 'before'): MigrationOutcome {
  return { resource, how, ...NOTHING, finished: true }
}

/**
 * A failure of one resource does not stop the others.
 *
 * @throws an error that concerns all of them
 */
export function failedOutcome(resource: string, error: unknown): MigrationOutcome {
  const ofOne =
    error instanceof MigrationFailed ||
    (error instanceof KubeStatusError && error.status !== UNAUTHORIZED)
  if (!ofOne) throw error
  const how = error instanceof MigrationFailed ? 'controller' : 'rewrite'
  return { resource, how, ...NOTHING, finished: false, why: error.message }
}

export function readableReport({ outcomes, proof, begun, dryRun }: Report): string {
  const lines = outcomes.map((outcome) => `${sayOutcome(outcome, dryRun)}\n`).join('')
  return dryRun ? lines : `${lines}\n${readableProof(proof, begun)}`
}

function sayOutcome(outcome: MigrationOutcome, dryRun: boolean): string {
  const { resource, how, done, gone, failed, why, stoppedBy } = outcome
  if (why !== undefined) return `${resource}: NOT rewritten: ${printable(why)}`
  if (how === 'controller') return `${resource}: rewritten by the cluster's StorageVersionMigration`
  if (how === 'before') return `${resource}: done in a run before`
  if (dryRun) return `${resource}: ${counted(done, 'object')} would be written anew`
  const more = [
    ...(gone > 0 ? [`${grouped(gone)} ${gone === 1 ? 'was' : 'were'} deleted meanwhile`] : []),
    ...(failed > 0 ? [`${grouped(failed)} FAILED`] : []),
    ...(stoppedBy === undefined ? [] : [`the rest was NOT tried: ${stoppedBy} does not answer`]),
  ]
  return [`${resource}: ${counted(done, 'object')} written anew`, ...more].join(', ')
}
