/**
 * Uses the TPM for one piece of work. In this process one at a time does so: a device blocks a thread
 * of the process while it works, and of those there are few.
 *
 * @module
 */

import { withinPart } from '../../base/call.ts'
import type { Clock } from '../../base/clock.ts'
import { KmsError, toKmsError } from '../../base/errors.ts'
import type { Call } from '../../base/provider.ts'
import { openChannel } from './channel.ts'
import { Tpm } from './tpm.ts'

/** So that there is time to say that the TPM did not answer. */
const PART = 0.9

/** By device, what ends when the TPM is free again. */
const turns = new Map<string, Promise<unknown>>()

/**
 * A command that is under way is not interrupted: where the call ends before, its caller hears at
 * once, and the TPM is cleared away as soon as it answers.
 */
export async function useTpm<T>(
  device: string,
  { clock, call }: { readonly clock: Clock; readonly call: Call },
  work: (tpm: Tpm) => Promise<T>,
): Promise<T> {
  try {
    return await withinPart(clock, call, PART, (own) => inTurn(device, clock, own, work))
  } catch (error) {
    const { code, message } = toKmsError(error)
    if (code !== 'timeout' || call.signal.aborted) throw error
    throw new KmsError(`TPM "${device}" did not answer in time: ${message}`, { code, cause: error })
  }
}

function inTurn<T>(
  device: string,
  clock: Clock,
  call: Call,
  work: (tpm: Tpm) => Promise<T>,
): Promise<T> {
  const before = turns.get(device) ?? Promise.resolve()
  const mine = before.then(() => {
    call.signal.throwIfAborted()
    return used(device, clock, call, work)
  })
  turns.set(
    device,
    mine.catch(() => undefined),
  )
  return mine
}

async function used<T>(
  device: string,
  clock: Clock,
  call: Call,
  work: (tpm: Tpm) => Promise<T>,
): Promise<T> {
  const channel = await openChannel(device)
  const tpm = new Tpm(channel, clock, call)
  try {
    return await work(tpm)
  } finally {
    await tpm.clearAway()
    await channel.close()
  }
}
