/**
 * Whether kube-apiserver starts with its EncryptionConfiguration. Where that depends on its version
 * or flags, it is an error if these are known to refuse the file, and a warning if they are not
 * known.
 *
 * @module
 */

import type { ConfigProblem } from '../kube/encryption_problem.ts'
import type { Finding, Level } from './finding.ts'

/** Undefined means that it is not known. */
export interface ApiServerFacts {
  /** The minor version: 37 for 1.37. */
  readonly minor?: number | undefined
  /** Whether the feature gate KMSv1 is on. */
  readonly kmsV1?: boolean
  /** Whether it reads the file again when the file changes. */
  readonly reload?: boolean
}

export function startFindings(
  problems: readonly ConfigProblem[],
  facts: ApiServerFacts,
): Finding[] {
  return problems.flatMap((problem) => {
    const { level, why } = judged(problem, facts)
    if (level === 'ok') return []
    return [
      { id: problem.id, level, what: `At ${problem.at}: ${problem.what}`, why, todo: problem.todo },
    ]
  })
}

interface Judged {
  readonly level: Level
  readonly why: string
}

function judged({ since = 0, unless, only }: ConfigProblem, facts: ApiServerFacts): Judged {
  if (unless === 'kmsV1') return v1Judged(facts)
  if (only === 'reload') return reloadJudged(facts)
  if (facts.minor !== undefined && facts.minor < since) {
    const why = `Kubernetes 1.${facts.minor} takes no notice of it, and 1.${since} does not start.`
    return { level: 'warning', why }
  }
  return { level: 'error', why: 'The API server refuses the file, and does not start.' }
}

function v1Judged({ kmsV1 }: ApiServerFacts): Judged {
  if (kmsV1 === false)
    return { level: 'error', why: 'The gate is off: the API server does not start.' }
  const why = kmsV1
    ? 'The gate is on, and will go.'
    : 'Without the gate the API server does not start; whether it has it is in its manifest (--api-server-manifest).'
  return { level: 'warning', why }
}

function reloadJudged({ reload }: ApiServerFacts): Judged {
  const flag = '--encryption-provider-config-automatic-reload'
  if (reload === false) return { level: 'ok', why: '' }
  return reload
    ? { level: 'error', why: `With ${flag} the API server does not start.` }
    : { level: 'warning', why: `With ${flag} an API server does not start.` }
}
