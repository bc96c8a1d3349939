/**
 * Checks before anything is changed whether the administrator's token may do all that a plan needs.
 * Otherwise the setup would stop half-way.
 *
 * @module
 */

import * as v from 'valibot'
import { VaultStatusError } from '../api.ts'
import type { VaultAdmin } from './admin.ts'

/** One request of a step. */
export interface Need {
  readonly path: string
  readonly capability: 'create' | 'update' | 'read'
  /** True where the service also requires `sudo`. */
  readonly sudo?: true
}

const capabilities = v.object({ data: v.record(v.string(), v.unknown()) })
const list = v.array(v.string())
const UNTOLD: ReadonlySet<number> = new Set([403, 404])
const self = v.object({ num_uses: v.optional(v.number(), 0) })

/**
 * For each step, why its requests would fail; undefined where they may work, or where that cannot
 * be known.
 */
export async function missingRights(
  needs: readonly (readonly Need[])[],
  admin: VaultAdmin,
): Promise<readonly (string | undefined)[]> {
  const all = needs.flat()
  if (all.length === 0) return needs.map(() => undefined)
  const allowed = await unlessUntold(() => askCapabilities(all, admin))
  // Asked last, because each request before this one used up one.
  const uses = await unlessUntold(() => admin.read('auth/token/lookup-self', self))
  const left = uses?.num_uses || Number.POSITIVE_INFINITY
  let sent = 0
  return needs.map((ofStep) => {
    sent += ofStep.length
    const missing = ofStep.find((need) => allowed !== undefined && !isMet(need, allowed))
    if (missing !== undefined) return missingText(missing)
    if (ofStep.length === 0 || sent <= left) return undefined
    return `the token of --token-file is for ${left} more requests, and ${all.length} are needed: use one without -use-limit`
  })
}

type Allowed = Readonly<Record<string, unknown>>

async function askCapabilities(needs: readonly Need[], admin: VaultAdmin): Promise<Allowed> {
  const paths = [...new Set(needs.map(({ path }) => path))]
  return (await admin.write('sys/capabilities-self', { paths }, capabilities)).data
}

function isMet({ path, capability, sudo }: Need, allowed: Allowed): boolean {
  const has = allowed[path]
  // A service that does not answer for a path is assumed to allow it.
  if (!v.is(list, has)) return true
  if (has.includes('root')) return true
  return has.includes(capability) && (sudo !== true || has.includes('sudo'))
}

function missingText({ path, capability, sudo }: Need): string {
  const wanted = sudo === true ? `${capability} and sudo` : capability
  return `the token of --token-file may not do this: its policy must allow ${wanted} on ${path}`
}

/**
 * A token may not be allowed to ask about itself, and where a namespace is missing, nobody can ask.
 */
async function unlessUntold<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof VaultStatusError && UNTOLD.has(error.status)) return undefined
    throw error
  }
}
