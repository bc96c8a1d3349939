/** Keeps in a file how far a rewrite has come, so that it can be stopped and continued. @module */

import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import * as v from 'valibot'
import { KmsError, systemCodeOf, systemReasonOf } from '../../base/errors.ts'
import type { ObjectName } from '../kube/rewrite.ts'

const stateSchema = v.strictObject({
  format: v.literal(1),
  server: v.string(),
  /** When the rewrite began, ISO 8601. */
  begun: v.string(),
  /** The key ids that objects were to be written with; none where they were not known. */
  keyIds: v.array(v.string()),
  /** Resources that are done. */
  done: v.array(v.string()),
  /** The resource in which the rewrite was stopped. */
  current: v.optional(
    v.strictObject({ resource: v.string(), namespace: v.string(), name: v.string() }),
  ),
})
type State = v.InferOutput<typeof stateSchema>

/** What a state is about; a state of another migration cannot be used. */
interface Migration {
  readonly server: string
  readonly keyIds: ReadonlySet<string>
}

const SAVE_MS = 1_000

export class MigrateState {
  readonly begun: string
  /** True where the file is about another key id, so that everything begins again. */
  readonly outdated: boolean
  readonly #path: string | undefined
  #state: State
  #savedAt = 0
  #saving: Promise<void> = Promise.resolve()

  private constructor(path: string | undefined, state: State, outdated = false) {
    this.#path = path
    this.#state = state
    this.begun = state.begun
    this.outdated = outdated
  }

  /** @throws KmsError where the file belongs to another cluster, or cannot be read */
  static async open(path: string | undefined, migration: Migration): Promise<MigrateState> {
    const { server } = migration
    const keyIds = [...migration.keyIds]
    const fresh: State = { format: 1, server, begun: new Date().toISOString(), keyIds, done: [] }
    const text = path === undefined ? undefined : await read(path)
    if (path === undefined || text === undefined) return new MigrateState(path, fresh)
    const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), stateSchema), text)
    if (!parsed.success) throw refused(path, 'is not what "trousseau migrate --state" wrote')
    if (parsed.output.server !== server) {
      throw refused(path, `belongs to ${parsed.output.server}, and this is ${server}`)
    }
    const before = new Set(parsed.output.keyIds)
    return before.size === keyIds.length && keyIds.every((keyId) => before.has(keyId))
      ? new MigrateState(path, parsed.output)
      : new MigrateState(path, fresh, true)
  }

  isDone(resource: string): boolean {
    return this.#state.done.includes(resource)
  }

  after(resource: string): ObjectName | undefined {
    return this.#state.current?.resource === resource ? this.#state.current : undefined
  }

  at(resource: string, { namespace, name }: ObjectName): void {
    this.#state = { ...this.#state, current: { resource, namespace, name } }
    if (performance.now() - this.#savedAt < SAVE_MS) return
    this.#savedAt = performance.now()
    // The save at the end reports what is wrong.
    this.#saving = this.save().catch(() => undefined)
  }

  async finish(resource: string): Promise<void> {
    const { current: _, ...rest } = this.#state
    this.#state = { ...rest, done: [...rest.done, resource] }
    await this.save()
  }

  /** @throws KmsError */
  async save(): Promise<void> {
    await this.#saving
    const path = this.#path
    if (path === undefined) return
    try {
      await writeFile(`${path}.new`, `${JSON.stringify(this.#state)}\n`, { mode: 0o600 })
      await rename(`${path}.new`, path)
    } catch (cause) {
      await rm(`${path}.new`, { force: true })
      throw refused(path, `cannot be written: ${systemReasonOf(cause)}`, cause)
    }
  }

  /** After a failure, keeps the file so that the rewrite can be continued; otherwise removes it. */
  async end(failed: boolean): Promise<void> {
    if (failed) return await this.save()
    await this.#saving
    if (this.#path !== undefined) await rm(this.#path, { force: true })
  }
}

async function read(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    if (systemCodeOf(cause) === 'ENOENT') return undefined
    throw refused(path, `cannot be read: ${systemReasonOf(cause)}`, cause)
  }
}

function refused(path: string, why: string, cause?: unknown): KmsError {
  return new KmsError(`File ${path} of --state ${why}`, { code: 'request_invalid', cause })
}
