/**
 * The proof that a key version can be trusted with keys of an API server: what it wraps opens to
 * the same bytes, and under other associated data not at all. A service that ignores associated
 * data looks healthy otherwise, until an upgrade makes it check them.
 *
 * @module
 */

import { KmsError, toKmsError } from '../base/errors.ts'
import { SEED_BYTES } from '../base/limits.ts'
import type { Call, Outcome, Plain, Provider, Wrapped } from '../base/provider.ts'

/** Whoever wraps and unwraps for the trial. */
interface Tried {
  readonly name: string
  wrap(version: string, item: Plain, call: Call): Promise<Uint8Array>
  /** Each item with its own outcome, in their order. */
  unwrapTogether(items: readonly Wrapped[], call: Call): Promise<readonly Outcome<Uint8Array>[]>
}

/**
 * @param random a source of cryptographic randomness
 * @throws KmsError `unbound` where the wrap opens under other associated data, `key_unavailable`
 *   where it opens to something else, otherwise what the service refused with
 */
export async function roundTrip(
  tried: Tried,
  version: string,
  random: (bytes: number) => Uint8Array,
  call: Call,
): Promise<void> {
  const plaintext = random(SEED_BYTES)
  const associatedData = random(SEED_BYTES)
  const bytes = await tried.wrap(version, { plaintext, associatedData }, call)
  const other = withOneBitChanged(associatedData, random)
  const [opened, unbound] = await tried.unwrapTogether(
    [
      { version, bytes, associatedData },
      { version, bytes, associatedData: other },
    ],
    call,
  )
  if (opened?.ok !== true) throw toKmsError(opened?.error)
  if (!equalBytes(opened.value, plaintext)) {
    throw new KmsError(`Provider "${tried.name}" opened its own wrap to something else`, {
      code: 'key_unavailable',
    })
  }
  if (unbound?.ok === true) {
    throw new KmsError(
      `Key service of provider "${tried.name}" opened a wrap under other associated data than it was made with: it ignores associated data, so nothing is wrapped with it; use a version of the service, and a type of key, that binds it`,
      { code: 'unbound' },
    )
  }
  // Any other failure proves nothing.
  if (unbound?.error.code !== 'ciphertext_invalid') throw toKmsError(unbound?.error)
}

/** One provider alone, without anything that gathers requests. */
export function alone(name: string, provider: Provider): Tried {
  return {
    name,
    unwrapTogether: (items, call) => provider.unwrap(items, call),
    async wrap(version, item, call) {
      const [outcome] = await provider.wrap(version, [item], call)
      if (outcome?.ok === true) return outcome.value
      throw outcome?.error ?? new KmsError('no answer', { code: 'protocol' })
    },
  }
}

/**
 * A provider that just found out that its service binds nothing may have versions that bind
 * in another way: so what it is asked is asked once more.
 */
export async function onceMoreIfUnbound<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    if (toKmsError(error).code !== 'unbound') throw error
    return await ask()
  }
}

/** Another bit in every round, so that a service that checks only some bytes is found too. */
function withOneBitChanged(bytes: Uint8Array, random: (bytes: number) => Uint8Array): Uint8Array {
  const changed = Uint8Array.from(bytes)
  const [at = 0, bit = 0] = random(2)
  const index = at % changed.length
  changed[index] = (changed[index] ?? 0) ^ (1 << (bit % 8))
  return changed
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index])
}
