/**
 * `trousseau recover export` writes Secrets and other objects as manifests for another cluster.
 *
 * @module
 */

import { resolve } from 'node:path'
import { KmsError, toKmsError } from '../../base/errors.ts'
import type { Io } from '../../console/io.ts'
import { OutFile } from '../../console/out_file.ts'
import { EXIT, json } from '../../console/output.ts'
import { counted, Progress } from '../../console/progress.ts'
import { type Found, isSelected, pagesOf, type Selection } from '../etcd/found.ts'
import { type Manifest, manifestOf } from '../etcd/manifest.ts'
import { manifestJson, manifestYaml } from '../etcd/manifest_text.ts'
import { type OpeningOutcome, outcomesOf } from '../etcd/outcome.ts'
import { openStorage, type StorageFlags } from '../etcd/storage.ts'
import { type KeyOptions, openKeys } from './keys.ts'
import { noted, nothingFound, tellAbsent } from './list.ts'
import { differing, whole } from './tally.ts'

export interface RecoverExportOptions extends StorageFlags, KeyOptions, Selection {
  /** A new file, or `-` for standard output. */
  readonly out: string
  /** The format of the manifests, and of the report where the manifests go to a file. */
  readonly json: boolean
}

interface Sink {
  write(text: string): Promise<void> | void
  /** Settles when everything is written. */
  keep(): Promise<void>
}

interface Form {
  readonly start: string
  readonly between: string
  readonly end: string
  readonly text: (manifest: Manifest) => string
}

const YAML: Form = { start: '', between: '', end: '', text: manifestYaml }
const JSON_LIST: Form = {
  start: '{"apiVersion":"v1","kind":"List","items":[\n',
  between: ',\n',
  end: '\n]}\n',
  text: manifestJson,
}

/**
 * @throws ConfigError, or KmsError where the storage or a key cannot be read, or the file exists
 */
export async function recoverExport(options: RecoverExportOptions, io: Io): Promise<number> {
  await using file =
    options.out === '-' ? undefined : await OutFile.make(resolve(options.out), io.stop)
  await using keys = await openKeys(options, io)
  const storage = await openStorage(options, io)
  try {
    const { source } = storage
    const progress = new Progress(io, source.count)
    const sink: Sink = file ?? { write: (text) => io.out(text), keep: () => io.outTaken() }
    const out = new Manifests(options.json ? JSON_LIST : YAML, sink)
    const seen = new Set<string>()
    const selected = (found: Found) => isSelected(found, options) && noted(found, seen)
    const wanted = pagesOf(source, options.prefix, selected, progress)
    for await (const outcome of outcomesOf(wanted, keys.opener)) {
      const reason = await out.add(outcome)
      if (reason === undefined) continue
      progress.clear()
      io.err(`trousseau: ${whole(outcome.found.name)}: ${whole(reason)}\n`)
    }
    progress.clear()
    if (out.exported + out.left === 0) throw nothingFound(options)
    await out.end()
    if (out.exported > 0) await sink.keep()
    tell(out, file?.path, source.revision, io)
    tellAbsent(options, seen, io)
    return out.left + out.differing === 0 ? EXIT.ok : EXIT.unhealthy
  } finally {
    await storage.close()
  }
}

function tell(out: Manifests, path: string | undefined, revision: bigint, io: Io) {
  const { exported, left, differing: differ, problems } = out
  const what = `Exported ${counted(exported, 'object')} of revision ${revision} of etcd`
  // Where the manifests go to standard output, nothing else may be printed there.
  if (problems !== undefined && (path !== undefined || exported === 0)) {
    const file = exported === 0 ? undefined : path
    io.out(
      json({ file, revision: String(revision), exported, notExported: left, differ, problems }),
    )
  } else if (path === undefined) io.err(`${what}\n`)
  else io.out(exported === 0 ? '' : `${what} to ${path} (mode 0600), in the clear\n`)
  if (left > 0) io.err(`trousseau: Not exported, and named above: ${counted(left, 'object')}\n`)
}

class Manifests {
  exported = 0
  left = 0
  /** Exported, although an API server could not read it. */
  differing = 0
  /** For `--json`. */
  readonly problems: { readonly name: string; readonly reason: string }[] | undefined
  readonly #form: Form
  readonly #out: Sink

  constructor(form: Form, out: Sink) {
    this.#form = form
    this.#out = out
    this.problems = form === JSON_LIST ? [] : undefined
  }

  /** Returns what is wrong with the object. */
  async add(outcome: OpeningOutcome): Promise<string | undefined> {
    const reason = await this.#added(outcome)
    if (reason !== undefined) this.problems?.push({ name: outcome.found.name, reason })
    return reason
  }

  async #added(outcome: OpeningOutcome): Promise<string | undefined> {
    const text = 'error' in outcome ? outcome.error : this.#textOf(outcome.plaintext)
    if (text instanceof KmsError) {
      this.left += 1
      return text.message
    }
    await this.#out.write((this.exported === 0 ? this.#form.start : this.#form.between) + text)
    this.exported += 1
    if ('error' in outcome || outcome.differs === undefined) return undefined
    this.differing += 1
    return differing(outcome.differs)
  }

  async end(): Promise<void> {
    if (this.exported > 0) await this.#out.write(this.#form.end)
  }

  #textOf(plaintext: Uint8Array): string | KmsError {
    try {
      return this.#form.text(manifestOf(plaintext))
    } catch (error) {
      return toKmsError(error)
    }
  }
}
