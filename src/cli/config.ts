/** `trousseau config …`: config files without serving them. @module */

import configJsonSchema from '../config/config.schema.json' with { type: 'json' }
import { endpointsOf } from '../config/endpoints.ts'
import { loadConfig, nameOf } from '../config/load.ts'
import type { Io } from './io.ts'
import { nextStep } from './notices.ts'
import { EXIT, json } from './output.ts'

/** @throws ConfigError with all problems */
export async function validateConfig(
  path: string,
  options: { readonly json: boolean },
  io: Io,
): Promise<number> {
  const config = await loadConfig(path)
  const providers = config.providers.map(({ name, type }) => ({ name, type }))
  const sockets = endpointsOf(config).map(({ socket }) => socket.path)
  const named = providers.map(({ name, type }) => `${name} (${type})`).join(', ')
  io.out(
    options.json
      ? json({ file: path, valid: true, providers, sockets })
      : `${nameOf(path)} is valid: ${named} on ${sockets.join(', ')}\n`,
  )
  nextStep(options, `trousseau serve --config ${path}`, io)
  return EXIT.ok
}

export function printConfigSchema(io: Io): number {
  io.out(json(configJsonSchema))
  return EXIT.ok
}
