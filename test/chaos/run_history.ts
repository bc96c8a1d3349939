/** Runs one history, and judges what came of it. @module */

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { connectKms, type KmsClient } from '../../src/grpc/client.ts'
import { objectAt } from './answers.ts'
import type { Ground, Lane } from './ground.ts'
import { type Acknowledged, Oracle, Violation } from './oracle.ts'
import type { ChaosPlugin } from './plugin.ts'
import { type History, SERVICES, type Step } from './steps.ts'
import { INTERVAL_MS, World } from './world.ts'

export interface Outcome {
  /** The first of them; undefined where all held. */
  readonly violation: Violation | undefined
  readonly counts: Readonly<Record<string, number>>
  /** By fault, how often it struck. */
  readonly struck: Readonly<Record<string, number>>
  /** From the end of the last fault until everything works again, in probe intervals. */
  readonly recovery: number | undefined
  readonly acknowledged: number
  /** Private memory of the plugin's process at its most, in MB; undefined where it is this one. */
  readonly peakMb: number | undefined
}

/** So many probe intervals after the last fault something is wrong; nearly all recover within three. */
const RECOVERY_LIMIT = 100
/** One history of so many is asked nothing until it is well by itself. */
const QUIET = 3
/** By the machine's clock: no request is under way for so long, whatever happens. */
const HANG_MS = 120_000
const PROCESS_INTERVAL_MS = 500
/** A process whose objects may have 64 MB. */
const PEAK_LIMIT_MB = 320

export async function runHistory(
  history: History,
  { ground, lane }: { readonly ground: Ground; readonly lane: Lane },
): Promise<Outcome> {
  const oracle = new Oracle()
  const struck = new Map<string, number>()
  const strike = (fault: string) => struck.set(fault, (struck.get(fault) ?? 0) + 1)
  await using world = await World.make(history, { ground, lane, oracle, struck: strike })
  const runner = new Runner(world)
  let judged: Pick<Outcome, 'recovery' | 'peakMb'> = { recovery: undefined, peakMb: undefined }
  try {
    await runner.begin()
    for (const step of history.steps) await runner.perform(step)
    judged = await runner.judge()
  } catch (error) {
    if (!(error instanceof Violation)) throw error
    oracle.violations.push(error)
  } finally {
    await runner.close()
    const secrets = SERVICES.flatMap((service) => [...world.proxies[service].secrets])
    oracle.read(runner.output(), secrets)
  }
  return {
    violation: oracle.violations[0],
    counts: Object.fromEntries(oracle.counts),
    struck: Object.fromEntries(struck),
    ...judged,
    acknowledged: oracle.acknowledged.length,
  }
}

class Runner {
  readonly #world: World
  readonly #underWay = new Set<Promise<unknown>>()
  readonly #clients: KmsClient[] = []
  #client: KmsClient
  #fresh: ChaosPlugin | undefined

  constructor(world: World) {
    this.#world = world
    this.#client = this.#connect(world.plugin)
  }

  /** Before anything goes wrong. */
  async begin(): Promise<void> {
    const start = performance.now()
    await this.#until('the first start', start, () => this.#works(this.#world.plugin))
  }

  async perform(step: Step): Promise<void> {
    const world = this.#world
    switch (step.do) {
      case 'encrypt':
        for (let left = step.count; left > 0; left -= 1) this.#begin(this.#encrypt(step.api))
        return await this.#breathe()
      case 'decrypt':
        for (let left = step.count; left > 0; left -= 1)
          this.#begin(this.#decrypt(step.pick + left))
        return await this.#breathe()
      case 'status':
        return void (await this.#status())
      case 'agree':
        return await this.#agree()
      case 'pause':
        return await pause(step.ms / world.time.speed)
      default:
        return await this.#befall(step)
    }
  }

  /** What others do to the plugin. */
  async #befall(
    step: Exclude<Step, { do: 'encrypt' | 'decrypt' | 'status' | 'agree' | 'pause' }>,
  ): Promise<void> {
    const world = this.#world
    const { proxies } = world
    switch (step.do) {
      case 'wire':
        proxies[step.on].wire = world.fault(step)
        return
      case 'tls':
        proxies[step.on].handshake = world.fault(step)
        return
      case 'answer':
        proxies[step.on].answer = world.fault(step)
        return
      case 'heal':
        return world.heal(step.on)
      case 'file':
        return void (await world.files[step.fault]())
      case 'mend':
        return await world.mendFiles()
      case 'rotate':
        return await world.rotate(step.on)
      case 'revoke':
        return await world.revoke()
      case 'reload':
        return await world.reload(step.variant, step.signal)
      case 'clock':
        return await world.plugin.jump(step.jumpMs)
      case 'process':
        await world.processFault(step.fault, step.ms)
        return this.#connectAgain()
      case 'restart':
        return await this.#restart()
    }
  }

  /** A config or a folder that cannot be used is mended first, as who restarts by hand does. */
  async #restart(): Promise<void> {
    await this.#world.mendFiles()
    await this.#world.plugin.restart('kindly')
    this.#connectAgain()
  }

  #connect({ socketPath, pid }: ChaosPlugin): KmsClient {
    // In this process a deadline would be by a clock that the plugin's own is ahead of.
    const timeoutMs = pid === undefined ? Number.POSITIVE_INFINITY : HANG_MS
    const client = connectKms(socketPath, { timeoutMs })
    this.#clients.push(client)
    return client
  }

  #connectAgain(): void {
    this.#client = this.#connect(this.#world.plugin)
  }

  /** A request that goes on while the history does. */
  #begin(work: Promise<unknown>): void {
    const settled = work.finally(() => this.#underWay.delete(settled))
    this.#underWay.add(settled)
  }

  /** Until the requests have left. */
  async #breathe(): Promise<void> {
    await pause(1)
  }

  async #encrypt(api: 'v1' | 'v2', client = this.#client): Promise<string | undefined> {
    const { oracle } = this.#world
    // 32 bytes, as a seed has, that can be looked for.
    const plaintext = Buffer.from(`planted-${randomBytes(18).toString('base64url')}`)
    oracle.given(plaintext)
    try {
      if (api === 'v1') {
        const { cipher } = await ended(client.v1.encrypt(plaintext))
        return oracle.encrypted(api, plaintext, { ciphertext: cipher })
      }
      return oracle.encrypted(
        api,
        plaintext,
        await ended(client.v2.encrypt({ plaintext, uid: 'chaos' })),
      )
    } catch (error) {
      oracle.failed(`encrypt ${api}`, passViolation(error))
      return undefined
    }
  }

  async #decrypt(pick: number): Promise<void> {
    const { acknowledged } = this.#world.oracle
    const made = acknowledged[pick % Math.max(acknowledged.length, 1)]
    if (made !== undefined) await this.#open(made, this.#client)
  }

  /** Whether it could be opened. */
  async #open(made: Acknowledged, client: KmsClient): Promise<boolean> {
    const { oracle } = this.#world
    const { api, ciphertext, keyId, annotations } = made
    try {
      const opened =
        api === 'v1'
          ? (await ended(client.v1.decrypt(ciphertext))).plain
          : (await ended(client.v2.decrypt({ ciphertext, uid: 'chaos', keyId, annotations })))
              .plaintext
      oracle.decrypted(made, opened)
      return true
    } catch (error) {
      oracle.refused(made, passViolation(error))
      return false
    }
  }

  async #status(client = this.#client): Promise<string | undefined> {
    const { oracle } = this.#world
    try {
      const { keyId, healthz } = await ended(client.v2.status())
      oracle.count('status ok')
      return healthz === 'ok' ? keyId : undefined
    } catch (error) {
      oracle.failed('status', passViolation(error))
      return undefined
    }
  }

  async #agree(): Promise<void> {
    const before = await this.#status()
    const keyId = await this.#encrypt('v2')
    const after = await this.#status()
    if (before === undefined || before !== after || keyId === undefined || keyId === before) return
    this.#world.oracle.broken(
      'Status names another key id than Encrypt uses',
      `${before}, ${keyId}`,
    )
  }

  /** Ends every fault, and looks whether all is as it must be. */
  async judge(): Promise<Pick<Outcome, 'recovery' | 'peakMb'>> {
    const world = this.#world
    for (const service of SERVICES) world.heal(service)
    await world.mendFiles()
    const start = performance.now()
    await Promise.all(this.#underWay)
    if (world.history.seed % QUIET === 0) {
      await this.#until('the plugin, asked by nobody', start, () => this.#wellByItself())
    }
    const recovery = await this.#until('the plugin', start, () => this.#works(world.plugin))
    this.#fresh = await world.startFresh()
    const fresh = this.#fresh
    await this.#until('a fresh plugin', performance.now(), () => this.#works(fresh))
    await this.#until('agreement', performance.now(), () => this.#sameKeyId(fresh))
    await this.#checkWraps()
    return { recovery, peakMb: await this.#peak() }
  }

  /** @returns how many probe intervals it took */
  async #until(what: string, start: number, holds: () => Promise<boolean>): Promise<number> {
    const { kind } = this.#world.history
    const interval = kind === 'here' ? INTERVAL_MS / this.#world.time.speed : PROCESS_INTERVAL_MS
    let counted = 0
    for (let from = start; !(await holds()); ) {
      const ready = await this.#world.answersAtOnce(interval / 4)
      const now = performance.now()
      // A machine that is too busy for the key service itself says nothing of the plugin.
      if (ready) counted += (now - from) / interval
      from = now
      if (counted > RECOVERY_LIMIT) {
        throw new Violation(
          'no recovery',
          `${what}: ${this.#why}, ${RECOVERY_LIMIT} intervals after the last fault`,
        )
      }
      await pause(interval / 4)
    }
    return (performance.now() - start) / interval
  }

  #why = ''

  /** Whether it is well, and opens all that was ever acknowledged. */
  async #works(plugin: ChaosPlugin): Promise<boolean> {
    const client = this.#connect(plugin)
    try {
      this.#why = 'no Status'
      if ((await this.#status(client)) === undefined) return false
      this.#why = 'no Encrypt'
      if ((await this.#encrypt('v2', client)) === undefined) return false
      const all = await Promise.all(
        this.#world.oracle.acknowledged.map((made) => this.#open(made, client)),
      )
      this.#why = `of ${all.length} ciphertexts ${all.filter((opened) => !opened).length} do not open`
      return all.every((opened) => opened)
    } finally {
      client.close()
    }
  }

  /** By its log alone, since every question makes it ask its providers. */
  #wellByItself(): Promise<boolean> {
    const states = this.#world.plugin.output().matchAll(/"event":"health".*?"state":"(\w+)"/g)
    const last = [...states].at(-1)?.[1]
    this.#why = `health ${last}`
    return Promise.resolve(last === 'ok' || last === 'degraded')
  }

  async #sameKeyId(fresh: ChaosPlugin): Promise<boolean> {
    const clients = [this.#connect(this.#world.plugin), this.#connect(fresh)]
    try {
      const [one, other] = await Promise.all(clients.map((client) => this.#status(client)))
      this.#why = `key ids ${one} and ${other}`
      return one !== undefined && one === other
    } finally {
      for (const client of clients) client.close()
    }
  }

  /** Asks the key service itself, and not over the plugin, for every wrap that it holds. */
  async #checkWraps(): Promise<void> {
    const world = this.#world
    for (const service of SERVICES) {
      const { mount } = world.lane.transit
      const key = world.keyAt(service)
      const wraps = world.oracle.acknowledged.flatMap((made) =>
        wrapsOf(made, `vault:${mount}/${key}`),
      )
      if (wraps.length === 0) continue
      const answer = await world.decryptDirectly(
        `${mount}/decrypt/${key}`,
        wraps.map(({ item }) => item),
      )
      for (const [index, { made }] of wraps.entries()) {
        const { plaintext = '' } = objectAt({ at: answer[index] }, 'at')
        const right =
          made.envelope.scheme !== 'any' ||
          plaintext === Buffer.from(made.plaintext).toString('base64')
        if (plaintext !== '' && right) continue
        world.oracle.broken('ciphertext was not made by the key in its header', made.keyId)
      }
    }
  }

  async #peak(): Promise<number | undefined> {
    const mb = await this.#world.peakMb()
    if (mb !== undefined && mb > PEAK_LIMIT_MB) {
      throw new Violation('memory or descriptors', `${Math.round(mb)} MB`)
    }
    return mb
  }

  output(): string {
    return [this.#world.plugin.output(), this.#fresh?.output()].join('\n')
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.close()
    await this.#fresh?.close()
    await this.#world.plugin.close()
    await Promise.allSettled(this.#underWay)
  }
}

/** As the transit engine is asked for them. */
function wrapsOf(made: Acknowledged, providerId: string) {
  const { members, wraps, digest } = made.envelope
  return wraps.flatMap(({ member, data }) => {
    const { providerId: id, version = '' } = members[member] ?? {}
    if (id !== providerId) return []
    const item = {
      ciphertext: `vault:v${version}:${Buffer.from(data).toString('base64')}`,
      associated_data: Buffer.from(digest).toString('base64'),
    }
    return [{ made, item }]
  })
}

/** A request that has not ended after so long never will. */
async function ended<T>(work: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => reject(new Violation('request without an end', `after ${HANG_MS} ms`)),
    HANG_MS,
  )
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

function passViolation(error: unknown): unknown {
  if (error instanceof Violation) throw error
  return error
}
