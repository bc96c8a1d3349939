/** A config as a person wrote it, with some keys changed and its comments kept. @module */

import { Document, isMap, isSeq, parseDocument, type YAMLMap } from 'yaml'
import { parseConfig } from './load.ts'
import type { Config } from './schema.ts'

/** What a provider's keys become; those that become undefined go. */
type Changes = Readonly<Record<string, unknown>>

/**
 * @param text of a config that is valid
 * @param changes by the provider's name
 * @throws ConfigError where the outcome would not be valid
 */
export function editProviders(
  text: string,
  changes: ReadonlyMap<string, Changes>,
): { readonly text: string; readonly config: Config } {
  const document = parseDocument(text)
  const providers = document.get('providers')
  for (const provider of isSeq(providers) ? providers.items : []) {
    if (isMap(provider)) change(provider, changes.get(String(provider.get('name'))) ?? {})
  }
  const config = parseConfig(document.toJS(), 'The config with these changes')
  return { text: document.toString({ lineWidth: 0 }), config }
}

function change(provider: YAMLMap, changes: Changes): void {
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) provider.delete(key)
    else provider.set(key, new Document().createNode(value, { flow: true }))
  }
}
