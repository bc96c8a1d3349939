/**
 * Asks a provider for the first time, as the health loop does. After that the provider knows how
 * its service binds, and labels the versions of its key accordingly.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import type { Call, Provider } from '../../../../src/base/provider.ts'
import { alone, onceMoreIfUnbound, roundTrip } from '../../../../src/kms/round_trip.ts'

/** The label of the newest version. */
export function firstLook(provider: Provider, call: Call): Promise<string> {
  return onceMoreIfUnbound(async () => {
    const label = (await provider.keyState(call)).versions.at(-1)?.label ?? ''
    await roundTrip(alone('first look', provider), label, randomBytes, call)
    return label
  })
}
