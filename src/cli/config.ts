/** `trousseau config …`: config files without serving them. @module */

import configJsonSchema from '../config/config.schema.json' with { type: 'json' }
import { loadConfig } from '../config/load.ts'
import type { Io } from './io.ts'
import { EXIT, json } from './output.ts'

/** @throws ConfigError with all problems */
export async function validateConfig(path: string, io: Io): Promise<number> {
  const { socket, providers } = await loadConfig(path)
  const named = providers.map(({ name, type }) => `${name} (${type})`).join(', ')
  io.out(`${path} is valid: ${named} on ${socket.path}\n`)
  return EXIT.ok
}

export function printConfigSchema(io: Io): number {
  io.out(json(configJsonSchema))
  return EXIT.ok
}
