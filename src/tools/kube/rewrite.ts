/**
 * Has an API server rewrite objects, so that they are encrypted with the current key. An empty
 * patch does that: the API server reads the object, changes nothing, sees that what is stored is
 * stale, and writes it. No object leaves the API server; only names are listed.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import { KmsError } from '../../base/errors.ts'
import { blamedIn } from './admission.ts'
import type { KubeAnswer, KubeClient, KubeRequest } from './client.ts'
import { pathOf, type Resource } from './discovery.ts'
import { list, text } from './go_json.ts'
import { KubeStatusError, readAnswer, refusalOf } from './status.ts'

export interface ObjectName {
  /** Empty where the resource has no namespaces. */
  readonly namespace: string
  readonly name: string
}

interface RewriteOptions {
  /** The maximum of objects a second. */
  readonly rate: number
  /** Objects up to this one, in the order of their names, are done already. */
  readonly after?: ObjectName | undefined
  /** Only counts the objects. */
  readonly dryRun: boolean
  readonly stop: AbortSignal
  /** Called with the number of objects as soon as it is known. */
  onTotal(count: number): void
  /** Called when everything up to this object is done. */
  onDone(object: ObjectName): void
  onFailed(object: ObjectName, error: Error): void
}

export interface Rewritten {
  readonly done: number
  /** Deleted in the meantime. */
  readonly gone: number
  readonly failed: number
  /** False where the rewrite was stopped. */
  readonly finished: boolean
  /** The webhook because of which the rest was not tried. */
  readonly stoppedBy?: string
}

const PAGE = 250
const GONE = 410
/** Asks for names and versions alone. */
const METADATA = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1'
const MERGE_PATCH = 'application/merge-patch+json'
const WORKERS = 4
const TRIES = 6
/** Each try costs as long as the API server waits for the webhook. */
const TRIES_WITH_DEAD_WEBHOOK = 3
/** After so many objects in a row that a dead webhook prevented, the rest is not tried. */
const ENOUGH = 8
const FIRST_PAUSE_MS = 100

const metadataList = v.object({
  metadata: v.object({ continue: text }),
  // Null for a resource without objects.
  items: list(v.object({ metadata: v.object({ name: v.string(), namespace: text }) })),
})

/** The order of etcd, and so of a list. */
export function isAfter(a: ObjectName, b: ObjectName): boolean {
  const [first, second] = [`${a.namespace}/${a.name}`, `${b.namespace}/${b.name}`]
  return Buffer.compare(Buffer.from(first), Buffer.from(second)) > 0
}

/** @throws KmsError where objects cannot be listed; a failure with a single object is counted */
export async function rewrite(
  kube: KubeClient,
  resource: Resource,
  options: RewriteOptions,
): Promise<Rewritten> {
  const run = new Run(kube, resource, options)
  const names = await run.list()
  options.onTotal(names.length)
  return options.dryRun
    ? { done: names.length, gone: 0, failed: 0, finished: true }
    : await run.rewriteAll(names)
}

interface Page {
  readonly names: readonly ObjectName[]
  /** Where the list continues. */
  readonly next: string | undefined
}

class Run {
  readonly #kube: KubeClient
  readonly #resource: Resource
  readonly #options: RewriteOptions
  readonly #start = performance.now()
  #started = 0
  #gone = 0
  #failed = 0
  /** Webhooks that were tried often enough. */
  readonly #dead = new Set<string>()
  #keptInARow = 0
  #stoppedBy: string | undefined
  /** No request is made before this time, because the API server demanded it. */
  #notBefore = 0

  constructor(kube: KubeClient, resource: Resource, options: RewriteOptions) {
    this.#kube = kube
    this.#resource = resource
    this.#options = options
  }

  /** Objects that are created after this are encrypted with the new key in any case. */
  async list(): Promise<ObjectName[]> {
    const { after } = this.#options
    let names: ObjectName[] | undefined
    // The API server may forget the position of the list, which then begins again.
    for (let left = TRIES; names === undefined; left -= 1) names = await this.#allPages(left === 1)
    return after === undefined ? names : names.filter((each) => isAfter(each, after))
  }

  /** Undefined where the list has to begin again, which the last one may not. */
  async #allPages(isLast: boolean): Promise<ObjectName[] | undefined> {
    const names: ObjectName[] = []
    const seen = new Set<string>()
    for (let next = ''; ; ) {
      const page = await this.#page(next, isLast)
      if (page === undefined) return undefined
      for (const name of page.names) names.push(name)
      if (page.next === undefined) return names
      next = page.next
      if (seen.has(next)) throw endless(this.#kube)
      seen.add(next)
    }
  }

  /** Undefined where the list cannot continue from there. */
  async #page(from: string, isLast: boolean): Promise<Page | undefined> {
    const query = new URLSearchParams({ limit: String(PAGE) })
    if (from !== '') query.set('continue', from)
    const path = `${pathOf(this.#resource)}?${query}`
    const { stop } = this.#options
    const request: KubeRequest = { method: 'GET', path, accept: METADATA, signal: stop }
    const isGone = ({ status }: KubeAnswer) => status === GONE && from !== '' && !isLast
    const answer = await this.#send(request, isGone)
    if (answer.status === GONE) return undefined
    const { items, metadata } = readAnswer(this.#kube, request, answer, metadataList)
    return {
      names: items.map(({ metadata: { namespace, name } }) => ({ namespace, name })),
      next: metadata.continue === '' ? undefined : metadata.continue,
    }
  }

  async rewriteAll(names: readonly ObjectName[]): Promise<Rewritten> {
    const { stop, onDone } = this.#options
    const settled: boolean[] = []
    let [next, done] = [0, 0]
    const worker = async () => {
      while (next < names.length && !stop.aborted && this.#stoppedBy === undefined) {
        const at = next
        next += 1
        const name = names[at]
        if (name === undefined) return
        settled[at] = await this.#one(name)
        // Reported in order, so that whoever goes on later leaves nothing out.
        for (
          let told = names[done];
          settled[done] === true && told !== undefined;
          told = names[done]
        ) {
          done += 1
          onDone(told)
        }
      }
    }
    await Promise.all(Array.from({ length: WORKERS }, worker))
    const [gone, failed] = [this.#gone, this.#failed]
    const finished = done === names.length
    const stoppedBy =
      finished || this.#stoppedBy === undefined ? {} : { stoppedBy: this.#stoppedBy }
    return { done: done - gone - failed, gone, failed, finished, ...stoppedBy }
  }

  /** False where it was stopped before the object was done. */
  async #one(object: ObjectName): Promise<boolean> {
    const { stop, onFailed } = this.#options
    try {
      await this.#pace()
      const answer = await this.#patch(object)
      if (answer.status === 404) this.#gone += 1
      this.#keptInARow = 0
      return true
    } catch (error) {
      if (stop.aborted) return false
      this.#failed += 1
      this.#judge(error)
      onFailed(object, error instanceof Error ? error : new Error(String(error)))
      return true
    }
  }

  /** Counts failures of a dead webhook, which would prevent the other objects as well. */
  #judge(error: unknown): void {
    const blamed = error instanceof KubeStatusError ? error.blamed : undefined
    this.#keptInARow = blamed?.dead === true ? this.#keptInARow + 1 : 0
    if (blamed?.dead !== true) return
    this.#dead.add(blamed.who)
    if (this.#keptInARow === ENOUGH) this.#stoppedBy = blamed.who
  }

  async #pace(): Promise<void> {
    const { rate, stop } = this.#options
    const due = Math.max(this.#start + (this.#started * 1_000) / rate, this.#notBefore)
    this.#started += 1
    const left = due - performance.now()
    if (left > 0) await sleep(left, undefined, { signal: stop })
  }

  async #patch(object: ObjectName): Promise<KubeAnswer> {
    const request: KubeRequest = {
      method: 'PATCH',
      path: `${objectPath(this.#resource, object)}?fieldManager=trousseau-migrate`,
      body: {},
      contentType: MERGE_PATCH,
      accept: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1',
      signal: this.#options.stop,
    }
    return await this.#send(request, ({ status }) => status === 404)
  }

  /**
   * Tries again after failures that may pass: too much load, a conflict with another write, no
   * answer.
   *
   * @param isFine whether an answer without success still counts as one
   */
  async #send(request: KubeRequest, isFine: (answer: KubeAnswer) => boolean): Promise<KubeAnswer> {
    for (let tried = 1; ; tried += 1) {
      const answer = await this.#kube.send(request).catch((error: unknown) => {
        if (this.#isLast(tried)) throw error
        return undefined
      })
      if (answer !== undefined && (answer.status < 300 || isFine(answer))) return answer
      if (answer !== undefined && (this.#isLast(tried, answer) || !mayPass(answer))) {
        throw refusalOf(this.#kube, request, answer)
      }
      await this.#rest(answer, FIRST_PAUSE_MS * 2 ** tried)
    }
  }

  #isLast(tried: number, answer?: KubeAnswer): boolean {
    if (tried === TRIES || this.#options.stop.aborted) return true
    const blamed = blamedIn(answer?.body)
    if (blamed === undefined) return false
    return !blamed.dead || tried >= TRIES_WITH_DEAD_WEBHOOK || this.#dead.has(blamed.who)
  }

  async #rest(answer: KubeAnswer | undefined, pauseMs: number): Promise<void> {
    const wait = answer?.retryAfterMs ?? pauseMs
    // A rate limit is for all requests.
    if (answer?.status === 429) this.#notBefore = performance.now() + wait
    await sleep(wait, undefined, { signal: this.#options.stop })
  }
}

function objectPath(resource: Resource, { namespace, name }: ObjectName): string {
  const collection = pathOf(resource)
  const at = collection.lastIndexOf('/') + 1
  const inside = namespace === '' ? '' : `namespaces/${segment(namespace)}/`
  return `${collection.slice(0, at)}${inside}${collection.slice(at)}/${segment(name)}`
}

/** Names of roles may have spaces and question marks, and mostly have colons. */
function segment(name: string): string {
  return encodeURIComponent(name.toWellFormed()).replaceAll('%3A', ':')
}

function endless({ server }: KubeClient): KmsError {
  return new KmsError(`The list of ${server} comes back to where it was, without an end`, {
    code: 'protocol',
  })
}

function mayPass({ status }: KubeAnswer): boolean {
  return status === 409 || status === 429 || status >= 500
}
