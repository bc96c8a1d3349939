/** `trousseau config …`: config files without serving them. @module */

import configJsonSchema from '../config/config.schema.json' with { type: 'json' }
import { endpointsOf } from '../config/endpoints.ts'
import { loadConfig } from '../config/load.ts'
import { pathsOf } from '../config/paths.ts'
import { pathFindings } from './doctor/path_checks.ts'
import type { Io } from './io.ts'
import { EXIT, json } from './output.ts'

/** What is valid may still name files that are not there, as when it is for another machine.
 *
 * @throws ConfigError with all problems
 */
export async function validateConfig(path: string, io: Io): Promise<number> {
  const config = await loadConfig(path)
  const named = config.providers.map(({ name, type }) => `${name} (${type})`).join(', ')
  for (const { id, what } of await pathFindings(pathsOf(config))) {
    if (MISSING.has(id)) io.err(`trousseau: warning: ${what}\n`)
  }
  const sockets = endpointsOf(config).map(({ socket }) => socket.path)
  io.out(`${path} is valid: ${named} on ${sockets.join(', ')}\n`)
  return EXIT.ok
}

/** What `doctor` calls what keeps the plugin from working; the rest is about permissions. */
const MISSING: ReadonlySet<string> = new Set(['file-missing', 'agent-socket'])

export function printConfigSchema(io: Io): number {
  io.out(json(configJsonSchema))
  return EXIT.ok
}
