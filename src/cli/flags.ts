/** Readers of option values; each says what it expected when a value is wrong. @module */

import { Buffer } from 'node:buffer'
import { resolve } from 'node:path'
import { type Command, InvalidArgumentError, Option } from 'commander'
import * as v from 'valibot'
import { duration } from '../base/duration.ts'
import { KmsError, toKmsError } from '../base/errors.ts'
import { parseSocketPath } from '../base/socket_path.ts'

export function claimOf(
  text: string,
  before: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const [, name, value] = /^([^=]+)=(.+)$/s.exec(text) ?? []
  if (name === undefined || value === undefined) {
    throw new InvalidArgumentError('Wanted NAME=VALUE')
  }
  return { ...before, [name]: value }
}

export function policyName(text: string): string {
  const own = ['root', 'default', 'response-wrapping', 'control-group']
  if (/^[a-z0-9][a-z0-9_.-]*$/.test(text) && !own.includes(text)) return text
  throw new InvalidArgumentError(
    `Wanted small letters, digits, "_", "-" and ".", and none of the service's own policies`,
  )
}

export function roleName(text: string): string {
  if (/^\w[\w.-]*$/.test(text)) return text
  throw new InvalidArgumentError('Wanted letters, digits, "_", "-" and "."')
}

/** A relative path is allowed here, since it is resolved in this shell and not by an API server. */
export function socketPath(text: string): string {
  const isRelative = /^[^/@:]/.test(text) && !/^[a-z][a-z0-9+.-]*:/i.test(text)
  const path = pathOrProblem(isRelative ? resolve(text) : text)
  if (path instanceof KmsError) throw new InvalidArgumentError(path.message)
  return path
}

function pathOrProblem(text: string): string | KmsError {
  try {
    return parseSocketPath(text)
  } catch (error) {
    return toKmsError(error)
  }
}

/** Reads a time limit of one call. */
export const milliseconds = durationFlag(1, 60_000)

export function durationFlag(minMs: number, maxMs: number): (text: string) => number {
  return (text) => {
    const result = v.safeParse(duration({ minMs, maxMs }), text)
    if (result.success) return result.output
    throw new InvalidArgumentError(`Wanted ${result.issues[0].message}`)
  }
}

export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const number = Number(text)
    if (/^\d+$/.test(text) && number >= min && number <= max) return number
    throw new InvalidArgumentError(`Wanted a whole number from ${min} to ${max}`)
  }
}

/** Reads how long a command may wait for something to happen. */
export const waiting = durationFlag(0, 3_600_000)

const LAST_PCR = 23

/** PCRs by their numbers, in ascending order. */
export function pcrList(text: string): readonly number[] {
  const pcrs = [...new Set(text.split(',').map(pcrNumber))]
  return pcrs.toSorted((one, other) => one - other)
}

function pcrNumber(text: string): number {
  if (/^\d{1,2}$/.test(text) && Number(text) <= LAST_PCR) return Number(text)
  throw new InvalidArgumentError(`Wanted numbers from 0 to ${LAST_PCR} with commas between`)
}

export function pcrValueOf(
  text: string,
  before: ReadonlyMap<number, Buffer>,
): ReadonlyMap<number, Buffer> {
  const [, pcr, value] = /^(\d{1,2})=([0-9a-f]{64})$/i.exec(text) ?? []
  if (pcr === undefined || value === undefined || Number(pcr) > LAST_PCR) {
    throw new InvalidArgumentError(
      `Wanted NUMBER=VALUE: a PCR from 0 to ${LAST_PCR}, and 64 hexadecimal digits`,
    )
  }
  return new Map([...before, [Number(pcr), Buffer.from(value, 'hex')]])
}

export function clientOption(): Option {
  return new Option(
    '--cli <name>',
    'your client (default: the one that is on the PATH, else vault)',
  ).choices(['vault', 'bao'])
}

/** Adds a subcommand that is about one provider of a config. */
export function ofProvider(parent: Command, name: string): Command {
  return parent
    .command(name)
    .requiredOption('--config <file>', 'YAML or JSON config file')
    .option('--provider <name>', 'name of the provider, where the config has several')
}
