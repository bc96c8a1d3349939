/**
 * `npm run bench -- --profile`: where the plugin's processor time goes under a load of
 * Encrypt, by package or source file and by function.
 *
 * @module
 */

import { readdir, readFile } from 'node:fs/promises'
import { SourceMap } from 'node:module'
import { join } from 'node:path'
import * as v from 'valibot'
import { BUNDLE } from '../_lib/plugin/process.ts'
import {
  type CpuProfile,
  cpuProfile,
  functionOf,
  placeOf,
  type SelfTime,
  selfTimes,
} from './cpu_profile.ts'
import { Generators } from './generators.ts'
import { prepared, socketPrepares } from './operations.ts'
import { machine } from './report.ts'
import { vaultProvider, withSetup } from './setup.ts'
import { table } from './tables.ts'

interface ProfileReport {
  readonly machine: string
  readonly method: string
  /** Packages and source files. */
  readonly places: readonly SelfTime[]
  readonly functions: readonly SelfTime[]
}

const CONCURRENCY = 64
const DURATION_MS = 8_000
const GENERATORS = 2
const SHOWN = 25

const sourceMap = v.object({
  version: v.number(),
  file: v.optional(v.string(), ''),
  sources: v.array(v.string()),
  sourcesContent: v.optional(v.array(v.string()), []),
  names: v.array(v.string()),
  mappings: v.string(),
  sourceRoot: v.optional(v.string(), ''),
})

export async function measureProfile(): Promise<ProfileReport> {
  const profile = await withSetup(async ({ folder, transit, processes }) => {
    await using generators = new Generators(GENERATORS)
    const own = folder.at('vault')
    const server = await processes.plugin({
      folder: own,
      nodeFlags: ['--cpu-prof', `--cpu-prof-dir=${own}`],
      provider: vaultProvider(transit),
    })
    const { socketPath } = server
    const endpoint = { kind: 'socket', path: socketPath } as const
    const encrypts = await prepared(socketPrepares(socketPath), 'Encrypt')
    const load = { endpoint, ...encrypts, concurrency: CONCURRENCY, durationMs: DURATION_MS }
    await generators.run(load, GENERATORS)
    // It writes the profile as it ends.
    await server.stop()
    return await readProfile(own)
  })
  const map = new SourceMap(v.parse(sourceMap, JSON.parse(await readFile(`${BUNDLE}.map`, 'utf8'))))
  return {
    machine: machine(),
    method: `Encrypt, ${CONCURRENCY} at once for ${DURATION_MS} ms, from the start of the process on`,
    places: selfTimes(profile, (frame) => placeOf(frame, map)),
    functions: selfTimes(profile, (frame) => functionOf(frame, map)),
  }
}

export function printProfile(report: ProfileReport, markdown: boolean): string {
  const { machine: where, method, places, functions } = report
  const rows = (head: string, times: readonly SelfTime[]) => [
    [head, 'self time'],
    ...times
      .slice(0, SHOWN)
      .map(({ name, share }) => [markdown ? `\`${name}\`` : name, `${(share * 100).toFixed(1)} %`]),
  ]
  return [
    `${where}. ${method}. Of the main thread's time without waiting.`,
    table(rows('package or file', places), markdown),
    table(rows('function', functions), markdown),
  ].join('\n\n')
}

/** Of the main thread, which is number 0. */
async function readProfile(folder: string): Promise<CpuProfile> {
  const names = await readdir(folder)
  const name = names.find((one) => /^CPU\.\d+\.\d+\.\d+\.0\.\d+\.cpuprofile$/.test(one))
  if (name === undefined) throw new Error('The plugin wrote no profile')
  return v.parse(cpuProfile, JSON.parse(await readFile(join(folder, name), 'utf8')))
}
