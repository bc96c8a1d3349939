/** `/readyz` of an API server asked again and again, as a load balancer does. @module */

import { setTimeout as pause } from 'node:timers/promises'
import type { KubeApi } from './kube_api.ts'

const EVERY_MS = 250

export class ReadinessWatch implements AsyncDisposable {
  /** What it said when it was not ready. */
  readonly refusals: string[] = []
  asked = 0
  readonly #api: KubeApi
  readonly #watching: Promise<void>
  #stopped = false

  constructor(api: KubeApi) {
    this.#api = api
    this.#watching = this.#watch()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#watching
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #watch(): Promise<void> {
    while (!this.#stopped) {
      const { ok, text } = await this.#api
        .health('/readyz')
        .catch((error: Error) => ({ ok: false, text: error.message }))
      this.asked += 1
      if (!ok) this.refusals.push(text)
      await pause(EVERY_MS)
    }
  }
}
