/** Facts in a file, as `trousseau policy facts --json` prints them. @module */

import * as v from 'valibot'
import { systemClock } from '../../base/clock.ts'
import { KmsError, systemReasonOf } from '../../base/errors.ts'
import { readSmallFile } from '../../base/small_file.ts'
import { endpointsOf } from '../../config/endpoints.ts'
import type { Config } from '../../config/schema.ts'
import { VERSION } from '../../plugin/version.ts'
import { type PolicyConfig, policyConfig } from '../../policy/config.ts'
import { type Facts, factOf, Unknown } from '../../policy/facts/value.ts'
import { nodeSpecs } from '../../policy/facts/vocabulary.ts'
import { lookAtNode } from '../../policy/look.ts'

const recorded = v.object({
  facts: v.array(
    v.object({ path: v.string(), value: v.unknown(), why: v.optional(v.string(), 'recorded so') }),
  ),
})

/** That of the config, or what holds where it has none. */
export function policyOf({ policy }: Config): PolicyConfig {
  return policy ?? v.parse(policyConfig, {})
}

/**
 * Those of the file, or of this node now where none is named. A fact that the file lacks is unknown.
 *
 * @throws KmsError `request_invalid`
 */
export async function factsFor(config: Config, file: string | undefined): Promise<Facts> {
  const policy = policyOf(config)
  if (file === undefined) {
    const sockets = endpointsOf(config).map(({ socket }) => socket.path)
    return await lookAtNode(policy, { clock: systemClock, version: VERSION, sockets })
  }
  const found = v.safeParse(v.pipe(v.string(), v.parseJson(), recorded), await textOf(file))
  if (!found.success) throw refused(file, 'holds no facts: wanted what policy facts --json prints')
  const values = new Map(found.output.facts.map((fact) => [fact.path, fact]))
  return new Map(
    nodeSpecs(policy).map(({ path, type }) => {
      const given = values.get(path)
      if (given === undefined) return [path, new Unknown(`not in ${file}`)]
      const fact = factOf(given.value, type, given.why)
      if (fact === undefined) throw refused(file, `has a value of ${path} that is no ${type}`)
      return [path, fact]
    }),
  )
}

async function textOf(file: string): Promise<string> {
  return await readSmallFile(file).catch((error: unknown) => {
    throw refused(file, `cannot be read: ${systemReasonOf(error)}`, error)
  })
}

function refused(file: string, why: string, cause?: unknown): KmsError {
  return new KmsError(`File "${file}" ${why}`, { code: 'request_invalid', cause })
}
