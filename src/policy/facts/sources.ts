/** Where every fact comes from, and how often it is worth being read. @module */

import type { Clock } from '../../base/clock.ts'
import { encryptionFacts } from './encryption.ts'
import { FollowedFile } from './file.ts'
import { clockSynchronized, folderOwners, inContainer, machineOf, ownDigest } from './here.ts'
import { KERNEL_FILES, type Roots, readKernelFile } from './kernel.ts'
import { tpmPcrs, tpmPresent } from './tpm.ts'
import { type Fact, Unknown } from './value.ts'
import { type FactSpec, MAX_PART, nodeSpecs } from './vocabulary.ts'

/**
 * `often`: at each interval; `seldom`: what asks a chip, or firmware, which limits how often it is
 * asked; `once`: what cannot change while this process runs.
 */
export type Pace = 'often' | 'seldom' | 'once'

export interface Source {
  readonly paths: readonly string[]
  readonly pace: Pace
  /** By path. */
  read(): Promise<Readonly<Record<string, Fact>>>
}

interface SourceOptions {
  readonly roots: Roots
  /** By name. */
  readonly files: Readonly<Record<string, string>>
  readonly encryptionConfig: string | undefined
  readonly sockets: readonly string[]
  readonly node: string
  readonly version: string
  readonly clock: Clock
}

/** The firmware's variables may be read by others than root a hundred times a second, all together. */
const SELDOM = new Set(['boot.secure'])

export function sourcesOf(options: SourceOptions): Source[] {
  const { roots, files, encryptionConfig, sockets, node, version, clock } = options
  const one = (path: string, pace: Pace, read: () => Fact | Promise<Fact>): Source => ({
    paths: [path],
    pace,
    read: async () => ({ [path]: await read() }),
  })
  const shift = clock.now() - clock.monotonic()
  const sources = [
    ...KERNEL_FILES.map((file) =>
      one(file.path, SELDOM.has(file.path) ? 'seldom' : 'often', () => readKernelFile(file, roots)),
    ),
    one('tpm.present', 'often', () => tpmPresent(roots.sys)),
    one('tpm.pcrs', 'seldom', () => tpmPcrs(roots.sys)),
    one('time.now', 'often', () => clock.now()),
    one('time.stepped', 'often', () => stepSeconds(clock, shift)),
    one('time.synchronized', 'often', () => clockSynchronized(roots)),
    one('node.name', 'once', () => node),
    one('node.machine', 'once', () => machineOf(roots)),
    one('trousseau.version', 'once', () => version),
    one('trousseau.sha256', 'once', ownDigest),
    one('trousseau.container', 'once', () => inContainer(roots)),
    one('socket.folderOwners', 'often', () => folderOwners(sockets)),
    ...Object.entries(files).map(([name, path]) => fileSource(name, new FollowedFile(path))),
    ...(encryptionConfig === undefined ? [] : [encryptionSource(encryptionConfig)]),
  ]
  const specs = new Map(nodeSpecs({ files, encryptionConfig }).map((spec) => [spec.path, spec]))
  return sources.map((source) => limited(source, specs))
}

/** A fact that is larger than rules reckon with is unknown. */
function limited(source: Source, specs: ReadonlyMap<string, FactSpec>): Source {
  return {
    ...source,
    async read() {
      const facts = await source.read()
      return Object.fromEntries(
        Object.entries(facts).map(([path, fact]) => {
          const max = specs.get(path)?.max ?? 0
          return [path, fits(fact, max) ? fact : new Unknown(`larger than ${max}`)]
        }),
      )
    },
  }
}

function fits(fact: Fact, max: number): boolean {
  if (typeof fact === 'string') return fact.length <= max
  if (typeof fact !== 'object' || fact instanceof Unknown) return true
  const parts = Object.entries(fact).flat()
  const isLong = (part: unknown) => typeof part === 'string' && part.length > MAX_PART
  return Object.keys(fact).length <= max && !parts.some(isLong)
}

function fileSource(name: string, file: FollowedFile): Source {
  const path = (field: string) => `files.${name}.${field}`
  return {
    paths: ['present', 'sha256', 'owner', 'group', 'mode'].map(path),
    pace: 'often',
    async read() {
      const facts = await file.read()
      return Object.fromEntries(Object.entries(facts).map(([field, fact]) => [path(field), fact]))
    },
  }
}

function encryptionSource(path: string): Source {
  return {
    paths: ['encryption.providers', 'encryption.writers'],
    pace: 'often',
    async read() {
      const { providers, writers } = await encryptionFacts(path)
      return { 'encryption.providers': providers, 'encryption.writers': writers }
    },
  }
}

/** In whole seconds: the two clocks differ by a little all the time. */
function stepSeconds(clock: Clock, shift: number): number {
  return Math.round(Math.abs(clock.now() - clock.monotonic() - shift) / 1_000)
}
