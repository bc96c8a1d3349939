/**
 * Settings that a key service may keep for the plugin, beside the key, and that take effect while
 * the plugin runs. Undefined means the value of the config file.
 *
 * @module
 */

import * as v from 'valibot'
import { duration } from '../base/duration.ts'

export const followedSettings = v.object({
  activationDelay: v.optional(duration({ minMs: 0, maxMs: 86_400_000 })),
  outageHold: v.optional(duration({ minMs: 0, maxMs: 86_400_000 })),
  logLevel: v.optional(v.picklist(['debug', 'info', 'warn', 'error'])),
})
export type FollowedSettings = v.InferOutput<typeof followedSettings>

const OF_THE_PROCESS = ['logLevel', 'outageHold'] as const satisfies (keyof FollowedSettings)[]

/** Names of the settings that are for the whole process, and not for one provider. */
export function ofTheProcess(settings: FollowedSettings): string[] {
  return OF_THE_PROCESS.filter((key) => settings[key] !== undefined)
}
