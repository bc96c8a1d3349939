/**
 * `trousseau config validate` and `config schema`: they check config files without serving them.
 *
 * @module
 */

import configJsonSchema from '../../config/config.schema.json' with { type: 'json' }
import { endpointsOf } from '../../config/endpoints.ts'
import { loadConfig, nameOf } from '../../config/load.ts'
import { pathsOf } from '../../config/paths.ts'
import type { Io } from '../../console/io.ts'
import { nextStep } from '../../console/notices.ts'
import { EXIT, json } from '../../console/output.ts'
import { pathFindings } from '../doctor/path_checks.ts'
import { policyRemarks } from '../doctor/policy_checks.ts'

/**
 * A valid config may name files that do not exist, for instance because it is for another machine;
 * these are warnings.
 *
 * @throws ConfigError with all problems
 */
export async function validateConfig(
  path: string,
  options: { readonly json: boolean },
  io: Io,
): Promise<number> {
  const config = await loadConfig(path)
  const providers = config.providers.map(({ name, type }) => ({ name, type }))
  const found = await pathFindings(pathsOf(config))
  const warnings = [
    ...found.filter(({ id }) => MISSING.has(id)).map(({ what }) => what),
    ...policyRemarks(config).map(({ what, why = '' }) => `${what}: ${why}`),
  ]
  for (const warning of warnings) io.err(`trousseau: warning: ${warning}\n`)
  const sockets = endpointsOf(config).map(({ socket }) => socket.path)
  const named = providers.map(({ name, type }) => `${name} (${type})`).join(', ')
  io.out(
    options.json
      ? json({ file: path, valid: true, providers, sockets, warnings })
      : `${nameOf(path)} is valid: ${named} on ${sockets.join(', ')}\n`,
  )
  nextStep(options, `trousseau serve --config ${path}`, io)
  return EXIT.ok
}

/**
 * The ids of doctor's findings that keep the plugin from working; its other findings about files
 * concern permissions.
 */
const MISSING: ReadonlySet<string> = new Set(['file-missing', 'agent-socket'])

export function printConfigSchema(io: Io): number {
  io.out(json(configJsonSchema))
  return EXIT.ok
}
