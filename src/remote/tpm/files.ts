/** What the two files of a login key in a TPM have in common: JSON, PCRs by number, bytes as text. @module */

import { Buffer } from 'node:buffer'
import * as v from 'valibot'
import { KmsError, systemReasonOf } from '../../base/errors.ts'
import { readSmallFile } from '../../base/small_file.ts'
import { PCR_COUNT, type PcrValues } from './structures.ts'

/** The value of a PCR of the bank sha256. */
const pcrValue = v.pipe(
  v.string(),
  v.regex(/^[0-9a-f]{64}$/, '64 hexadecimal digits'),
  v.transform((text) => Buffer.from(text, 'hex')),
)

export const pcrValues = v.pipe(
  v.record(
    v.pipe(v.string(), v.regex(/^(?:\d|1\d|2[0-3])$/, `a PCR from 0 to ${PCR_COUNT - 1}`)),
    pcrValue,
  ),
  v.check((pcrs) => Object.keys(pcrs).length > 0, 'at least one PCR'),
  v.transform((pcrs): PcrValues => {
    const numbered = Object.entries(pcrs).map(([pcr, value]) => [Number(pcr), value] as const)
    return new Map(numbered.toSorted(([one], [other]) => one - other))
  }),
)

export const base64 = v.pipe(
  v.string(),
  v.maxLength(4_096),
  v.base64(),
  v.transform((text) => Buffer.from(text, 'base64')),
)

export function textOf(values: PcrValues): Record<string, string> {
  return Object.fromEntries([...values].map(([pcr, value]) => [pcr, value.toString('hex')]))
}

interface ReadOptions {
  readonly path: string
  /** The config's name for the file, or what it is. */
  readonly what: string
  /** The command that makes such a file. */
  readonly madeBy: string
}

/** @throws KmsError `denied`: without the file there is no login */
export async function readJsonFile<TSchema extends v.GenericSchema>(
  schema: TSchema,
  { path, what, madeBy }: ReadOptions,
): Promise<{ text: string; content: v.InferOutput<TSchema> }> {
  const text = await readSmallFile(path).catch((cause: unknown) => {
    throw new KmsError(`File "${path}" of ${what} cannot be read: ${systemReasonOf(cause)}`, {
      code: 'denied',
      cause,
    })
  })
  const parsed = v.safeParse(schema, json(text))
  if (parsed.success) return { text, content: parsed.output }
  throw new KmsError(`File "${path}" of ${what} is not what "${madeBy}" makes`, { code: 'denied' })
}

function json(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
