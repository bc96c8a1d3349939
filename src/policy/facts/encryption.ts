/**
 * Which providers an EncryptionConfiguration names: their names alone, since the file may hold keys.
 *
 * @module
 */

import * as v from 'valibot'
import { systemReasonOf } from '../../base/errors.ts'
import { readSmallFile } from '../../base/small_file.ts'
import { parseYaml } from '../../base/yaml/parse.ts'
import { type Fact, Unknown } from './value.ts'

const configuration = v.object({
  resources: v.pipe(
    v.array(
      v.object({
        providers: v.pipe(v.array(v.record(v.string(), v.unknown())), v.minLength(1)),
      }),
    ),
    v.minLength(1),
  ),
})

const MAX_ALIASES = 10

interface EncryptionFacts {
  /** The names of all providers, each once. */
  readonly providers: Fact
  /** Of those that stand first in their list: they write. */
  readonly writers: Fact
}

export async function encryptionFacts(path: string): Promise<EncryptionFacts> {
  try {
    const content = parseYaml(await readSmallFile(path), MAX_ALIASES)
    const found = v.safeParse(configuration, content)
    if (!found.success) return both(new Unknown(`${path} is no EncryptionConfiguration`))
    const lists = found.output.resources.map(({ providers }) =>
      providers.flatMap((each) => Object.keys(each)),
    )
    return {
      providers: [...new Set(lists.flat())],
      writers: [...new Set(lists.flatMap(([first]) => first ?? []))],
    }
  } catch (error) {
    // The parser's own words would quote the file.
    const isYaml = error instanceof Error && error.name === 'YAMLParseError'
    const why = isYaml ? 'is no YAML' : systemReasonOf(error)
    return both(new Unknown(`${path}: ${why}`))
  }
}

function both(unknown: Unknown): EncryptionFacts {
  return { providers: unknown, writers: unknown }
}
