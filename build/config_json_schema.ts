/**
 * The config's JSON Schema, for editors. It describes what the file may contain. Only the loader
 * knows the rules between keys, and what a string means beyond its pattern.
 *
 * @module
 */

import { type JsonSchema, toJsonSchema } from '@valibot/to-json-schema'
import * as v from 'valibot'
import { configSchema } from '../src/config/schema.ts'

export function configJsonSchema(): unknown {
  const { $schema, ...schema } = toJsonSchema(configSchema, {
    typeMode: 'input',
    errorMode: 'ignore',
    overrideSchema: ({ valibotSchema, jsonSchema }) => withDescriptions(valibotSchema, jsonSchema),
  })
  return { $schema, title: 'Trousseau configuration', ...schema }
}

/**
 * The converter stops before a key's first transformation, and so misses descriptions that come
 * after it.
 */
function withDescriptions(schema: object, json: JsonSchema): JsonSchema | null {
  if (!('entries' in schema) || json.properties === undefined) return null
  const entries = new Map(Object.entries(schema.entries as Record<string, Described>))
  const properties = Object.entries(json.properties).map(([key, value]) => {
    const description = descriptionOf(entries.get(key))
    if (typeof value === 'boolean' || description === undefined) return [key, value]
    return [key, { description, ...value }]
  })
  return { ...json, properties: Object.fromEntries(properties) }
}

type Described = v.GenericSchema & { readonly wrapped?: v.GenericSchema }

function descriptionOf(schema: Described | undefined): string | undefined {
  if (schema === undefined) return undefined
  return v.getDescription(schema) ?? descriptionOf(schema.wrapped)
}
