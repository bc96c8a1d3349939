/** Which of the settings that a key service keeps are for the whole process, and not for its provider alone. @module */

import type { FollowedSettings } from '../providers/vault_settings.ts'

const OF_THE_PROCESS = ['logLevel', 'outageHold'] as const satisfies (keyof FollowedSettings)[]

/** Names of those that are there. */
export function ofTheProcess(settings: FollowedSettings): string[] {
  return OF_THE_PROCESS.filter((key) => settings[key] !== undefined)
}
