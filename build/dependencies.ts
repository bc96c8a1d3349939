/** What package-lock.json says, and the rules of docs/dependencies.md for it. @module */

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { ROOT } from './cache.ts'

/** None asks more than that its text goes with the program. */
const ALLOWED = new Set([
  'Apache-2.0',
  'MIT',
  'ISC',
  'BSD-3-Clause',
  '(Apache-2.0 AND BSD-3-Clause)',
])
const EXACT = /^\d+\.\d+\.\d+$/

const dependencySchema = v.object({
  version: v.optional(v.string(), ''),
  license: v.optional(v.string(), ''),
  integrity: v.optional(v.string(), ''),
  dev: v.optional(v.boolean(), false),
  optional: v.optional(v.boolean(), false),
  hasInstallScript: v.optional(v.boolean(), false),
  dependencies: v.optional(v.record(v.string(), v.string()), {}),
})
const lockSchema = v.pipe(
  v.object({ packages: v.record(v.string(), dependencySchema) }),
  v.transform(({ packages }) =>
    Object.entries(packages).map(([folder, each]) => ({ folder, ...each })),
  ),
)
const auditSchema = v.object({
  vulnerabilities: v.record(v.string(), v.object({ severity: v.string() })),
})

/** All of the lock file, first the project itself, whose folder is empty. */
type Lock = v.InferOutput<typeof lockSchema>
export type Dependency = Lock[number]

export async function readLock(): Promise<Lock> {
  return parseLock(await readFile(join(ROOT, 'package-lock.json'), 'utf8'))
}

export function parseLock(text: string): Lock {
  return v.parse(lockSchema, JSON.parse(text))
}

export function nameOf({ folder }: Pick<Dependency, 'folder'>): string {
  return folder.replace(/^.*node_modules\//, '')
}

/** What is there for running, with what that needs in turn. */
export function runtimeDependencies(lock: Lock): Dependency[] {
  return lock.filter(({ folder, dev, optional }) => folder !== '' && !dev && !optional)
}

/**
 * One line for each rule that is broken.
 *
 * @param bundled folders of the packages that are in the bundle
 * @param npmrc settings of npm, by which no install script runs
 */
export function problemsOf(lock: Lock, bundled: ReadonlySet<string>, npmrc: string): string[] {
  const dependencies = runtimeDependencies(lock)
  const known = new Set(dependencies.map(({ folder }) => folder))
  const wanted = lock.flatMap((each) =>
    each.folder === '' ? Object.entries(each.dependencies) : [],
  )
  return [
    ...(/^ignore-scripts=true$/m.test(npmrc) ? [] : ['.npmrc lets install scripts run']),
    ...wanted.flatMap(([name, version]) =>
      EXACT.test(version) ? [] : `${name}: ${version} is no exact version`,
    ),
    ...[...bundled].flatMap((folder) =>
      known.has(folder) ? [] : `${folder} is bundled, and no run-time dependency`,
    ),
    ...dependencies.flatMap((each) => problemsWith(each, bundled.has(each.folder))),
  ]
}

function problemsWith(
  { folder, license, integrity, hasInstallScript }: Dependency,
  isBundled: boolean,
): string[] {
  return [
    ...(ALLOWED.has(license) ? [] : [`${folder}: licence ${license || 'unknown'}`]),
    ...(integrity.startsWith('sha512-') ? [] : [`${folder}: no SHA-512 in package-lock.json`]),
    ...(isBundled && hasInstallScript ? [`${folder} is bundled, and has an install script`] : []),
  ]
}

/**
 * One line for each package of which the registry knows a vulnerability.
 *
 * @param report what `npm audit --json` prints
 * @returns nothing where the registry does not tell, as many mirrors do not
 */
export function vulnerabilitiesIn(report: string): string[] | undefined {
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), auditSchema), report)
  if (!parsed.success) return undefined
  return Object.entries(parsed.output.vulnerabilities).map(
    ([name, { severity }]) => `${name} has a known vulnerability: ${severity}; npm audit says more`,
  )
}
