/** Changes some keys of a config that a person wrote, and keeps its comments. @module */

import { Document, isMap, isSeq, type YAMLMap } from 'yaml'
import { yamlDocument } from '../base/yaml/parse.ts'
import { parseConfig } from './load.ts'
import type { Config } from './schema.ts'

/** The new values of a provider's keys; a key whose value is undefined is removed. */
type Changes = Readonly<Record<string, unknown>>

/**
 * @param text of a valid config
 * @param changes by the name of the provider
 * @throws ConfigError where the result would not be valid
 */
export function editProviders(
  text: string,
  changes: ReadonlyMap<string, Changes>,
): { readonly text: string; readonly config: Config } {
  const document = yamlDocument(text)
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
