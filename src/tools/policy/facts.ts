/** `trousseau policy facts`: every fact about this node, with its source and what it is worth. @module */

import { loadConfig } from '../../config/load.ts'
import type { Io } from '../../console/io.ts'
import { EXIT, json, paint, printable, table } from '../../console/output.ts'
import { shownFact, Unknown } from '../../policy/facts/value.ts'
import { nodeSpecs } from '../../policy/facts/vocabulary.ts'
import { factsFor, policyOf } from './recorded.ts'

export interface FactsOptions {
  readonly config: string
  readonly json: boolean
}

/** @throws ConfigError */
export async function printFacts({ config: path, json: asJson }: FactsOptions, io: Io) {
  const config = await loadConfig(path)
  const facts = await factsFor(config, undefined)
  const rows = nodeSpecs(policyOf(config)).map(({ path: name, type, source, worth }) => {
    const fact = facts.get(name) ?? new Unknown('not read')
    const why = fact instanceof Unknown ? fact.why : undefined
    return { path: name, type, value: shownFact(fact, type), why, source, worth }
  })
  if (asJson) {
    io.out(json({ facts: rows }))
    return EXIT.ok
  }
  const lines = table(
    rows.map(({ path: name, value, why }) => [
      name,
      printable(why === undefined ? JSON.stringify(value) : `unknown: ${why}`),
    ]),
  )
  for (const [index, [name = '', value = '']] of lines.entries()) {
    const unknown = rows[index]?.why !== undefined
    io.out(`${name}  ${unknown ? paint(io, 'yellow', value) : value}\n`)
  }
  return EXIT.ok
}
