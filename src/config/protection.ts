/**
 * How plaintexts are spread over providers, as the config says it (docs/protection.md).
 *
 * @module
 */

import * as v from 'valibot'
import { duration } from '../base/duration.ts'
import type { DecryptPreference } from '../kms/decrypt_order.ts'
import type { Protection } from '../kms/health_view.ts'

const DAY_MS = 86_400_000
const MAX_PROVIDERS = 16

const minimumProviders = v.optional(
  v.pipe(
    v.number(),
    v.integer(),
    v.minValue(1),
    v.maxValue(MAX_PROVIDERS),
    v.description('With fewer providers nothing new is written'),
  ),
)

const shared = {
  minimumProviders,
  holdTime: v.optional(
    v.pipe(
      duration({ minMs: 0, maxMs: DAY_MS }),
      v.description('How long a provider may be away before the others write without it'),
    ),
    '60s',
  ),
  returnTime: v.optional(
    v.pipe(
      duration({ minMs: 0, maxMs: DAY_MS }),
      v.description('How long a provider that was left out must be well before it is taken back'),
    ),
    '10m',
  ),
  decryptPreference: v.optional(
    v.pipe(
      v.union(
        [v.picklist(['fastest', 'roundrobin']), v.pipe(v.array(v.string()), v.minLength(1))],
        '"fastest", "roundrobin" or a list of names of providers',
      ),
      v.description('Which provider is asked first to decrypt; a list names them in that order'),
    ),
    'fastest',
  ),
}

const any = v.strictObject({
  mode: v.pipe(v.literal('any'), v.description('Every provider wraps the whole: any one opens it')),
  ...shared,
})

const threshold = v.strictObject({
  mode: v.pipe(
    v.literal('threshold'),
    v.description('Every provider wraps a share: k of them are needed'),
  ),
  k: v.pipe(
    v.number(),
    v.integer(),
    v.minValue(2),
    v.maxValue(MAX_PROVIDERS),
    v.description('How many providers are needed to open anything; fewer learn nothing'),
  ),
  ...shared,
})

export const protectionConfig = v.union(
  [
    v.pipe(v.literal('any'), v.description('Short for mode any with its defaults')),
    v.variant('mode', [any, threshold]),
  ],
  '"any", or an object with mode',
)

type ProtectionConfig = v.InferOutput<typeof protectionConfig>

export interface ProtectionInForce {
  readonly protection: Protection
  readonly decryptPreference: DecryptPreference
}

/**
 * @param providers how many of the endpoint's providers are ever written to
 * @returns also why this protection is impossible: the path below the endpoint, and what was
 * expected
 */
export function protectionOf(
  config: ProtectionConfig,
  providers: number,
): ProtectionInForce & { readonly problem: string | undefined } {
  const long = config === 'any' ? v.parse(any, { mode: 'any' }) : config
  const { holdTime: holdMs, returnTime: returnMs, decryptPreference } = long
  const k = long.mode === 'any' ? 1 : long.k
  const usual = long.mode === 'any' ? 1 : Math.min(k + 1, providers)
  const minimum = long.minimumProviders ?? usual
  const protection = { scheme: long.mode, k, minimum, holdMs, returnMs }
  return { protection, decryptPreference, problem: problemOf(k, minimum, providers) }
}

function problemOf(k: number, minimum: number, providers: number): string | undefined {
  if (providers === 0) return 'providers: wanted at least one that is not decryptOnly'
  if (k > providers) {
    return `protection.k: wanted at most ${providers}, as many as providers are written to`
  }
  if (minimum < k)
    return `protection.minimumProviders: wanted at least ${k}, as many as are needed to read`
  if (minimum > providers) {
    return `protection.minimumProviders: wanted at most ${providers}, as many as providers are written to`
  }
  return undefined
}
