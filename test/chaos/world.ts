/**
 * One history's world: keys at the real key service, a proxy before each, the plugin, and an
 * operator who rotates, reloads and mends.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { execFile } from 'node:child_process'
import {
  chmod,
  cp,
  mkdir,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import { configText } from '../_lib/plugin/process.ts'
import { replaceFile } from '../_lib/replace_file.ts'
import { SeededRandom } from '../_lib/seeded_random.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { objectAt, readObject } from './answers.ts'
import type { Ground, Lane } from './ground.ts'
import type { Oracle } from './oracle.ts'
import { type ChaosPlugin, type Place, startHere, startProcess } from './plugin.ts'
import { type FaultProxy, startFaultProxy } from './proxy.ts'
import { type FileFault, type History, SERVICES, type Service, type Variant } from './steps.ts'
import type { VirtualTime } from './virtual_time.ts'

const run = promisify(execFile)
/** Of the config of plugins in this process, by their clock. */
export const INTERVAL_MS = 2_000
/** Of the state folder of a process. */
const DISK = '64k'

export class World implements AsyncDisposable {
  readonly history: History
  readonly time: VirtualTime
  readonly folder: TempFolder
  readonly proxies: Readonly<Record<Service, FaultProxy>>
  readonly oracle: Oracle
  plugin!: ChaosPlugin
  #variant: Variant
  readonly #ground: Ground
  readonly #lane: Lane
  #disk = false

  private constructor(
    history: History,
    { ground, lane, oracle }: { ground: Ground; lane: Lane; oracle: Oracle },
    { folder, proxies }: { folder: TempFolder; proxies: Record<Service, FaultProxy> },
  ) {
    this.history = history
    this.oracle = oracle
    this.folder = folder
    this.proxies = proxies
    this.#ground = ground
    this.#lane = lane
    this.#variant = history.variant
    this.time = history.kind === 'here' ? ground.fast : ground.real
  }

  static async make(
    history: History,
    parts: { ground: Ground; lane: Lane; oracle: Oracle; struck: (fault: string) => void },
  ): Promise<World> {
    const { ground, lane, struck } = parts
    const folder = await tempFolder()
    const { bao, agent } = ground
    const certificates = history.tls ? ground.certificates : undefined
    const time = history.kind === 'here' ? ground.fast : ground.real
    const proxyTo = () =>
      startFaultProxy({ service: bao.address, agent, time, certificates, struck })
    const proxies = { one: await proxyTo(), two: await proxyTo() }
    const world = new World(history, parts, { folder, proxies })
    await Promise.all(
      SERVICES.map((service) =>
        bao.request('POST', `${lane.transit.mount}/keys/${world.keyAt(service)}`, {}),
      ),
    )
    await world.#prepare()
    return world
  }

  get lane(): Lane {
    return this.#lane
  }

  /** The name of the key at a service. */
  keyAt(service: Service): string {
    return `h${this.history.seed}-${this.history.steps.length}-${this.folder.path.slice(-6)}-${service}`
  }

  async #prepare(): Promise<void> {
    await mkdir(this.folder.at('run'), { mode: 0o700 })
    await mkdir(this.folder.at('state'), { mode: 0o700 })
    await createKeyFile(this.folder.at('keys'), () => this.time.now())
    await cp(this.#ground.caFile, this.folder.at('ca.pem'))
    await this.#mendSecretId()
    await this.writeConfig('replaced')
    if (this.history.kind === 'process' && process.getuid?.() === 0) {
      await run('mount', ['-t', 'tmpfs', '-o', `size=${DISK}`, 'none', this.folder.at('state')])
      this.#disk = true
    }
    this.plugin = await this.#start(this.placeOf(''))
  }

  #start(place: Place): Promise<ChaosPlugin> {
    if (this.history.kind === 'here') return startHere(place, this.time)
    return startProcess(place, () => this.config('state'))
  }

  /** A plugin that knows nothing of what was before. */
  async startFresh(): Promise<ChaosPlugin> {
    const place = this.placeOf('fresh')
    await mkdir(place.folder, { recursive: true })
    await writeFile(place.configPath, configText(place.socketPath, this.config('fresh/state')))
    if (this.history.kind === 'here') return await startHere(place, this.time)
    return await startProcess(place, () => this.config('fresh/state'))
  }

  placeOf(part: string): Place {
    const folder = join(this.folder.path, part)
    const socket = part === '' ? join(folder, 'run', 'kms.sock') : join(folder, 'kms.sock')
    return { folder, socketPath: socket, configPath: join(folder, 'config.json') }
  }

  config(stateDir: string): Readonly<Record<string, unknown>> {
    const here = this.history.kind === 'here'
    const { activationDelayMs, world } = this.history
    return {
      providers: world === 'one' ? [this.#vault('one')] : this.#providers(),
      ...this.#protection(),
      rotation: { activationDelay: `${activationDelayMs}ms` },
      health: here
        ? { interval: `${INTERVAL_MS}ms`, staleAfter: '8s', outageHold: '20s' }
        : { interval: '500ms', staleAfter: '2s', outageHold: '20s' },
      requestTimeout: here ? '10s' : '2s',
      stateDir: this.folder.at(stateDir),
      log: { level: 'debug', format: 'json' },
    }
  }

  #protection(): Readonly<Record<string, unknown>> {
    if (this.#variant === 'single') return {}
    const times = { holdTime: '3s', returnTime: '4s' }
    const any = { mode: 'any', ...times }
    return { protection: this.#variant === 'any' ? any : { mode: 'threshold', k: 2, ...times } }
  }

  /** All that may be needed to read; which of them write is the variant. */
  #providers(): object[] {
    const readOnly = this.#variant === 'single' ? { decryptOnly: true } : {}
    const local = this.#variant === 'threshold' ? {} : { decryptOnly: true }
    return [
      this.#vault('one'),
      { ...this.#vault('two'), ...readOnly },
      { name: 'here', type: 'local', keyFile: this.folder.at('keys'), ...local },
    ]
  }

  #vault(service: Service): object {
    const { mount, roleIdFile } = this.#lane.transit
    const tls = this.history.tls ? { tls: { caFile: this.folder.at('ca.pem') } } : {}
    return {
      ...{ name: service, type: 'vault', mount, key: this.keyAt(service) },
      address: this.proxies[service].address,
      allowInsecureHttp: true,
      auth: { method: 'approle', roleIdFile, secretIdFile: this.folder.at('secret-id') },
      ...tls,
    }
  }

  /** Puts another config there, and asks for it where `signal` says so. */
  async reload(variant: Variant, signal: boolean): Promise<void> {
    this.#variant = variant
    await this.writeConfig('replaced')
    if (signal) this.plugin.reload()
  }

  async writeConfig(how: 'replaced' | 'in place' | 'by link'): Promise<void> {
    const { configPath, socketPath } = this.placeOf('')
    const text = configText(socketPath, this.config('state'))
    if (how === 'replaced') return await replaceFile(configPath, text)
    if (how === 'in place') return await writeFile(configPath, text, { mode: 0o600 })
    // As a kubelet swaps the files of a ConfigMap.
    const data = this.folder.at(`data-${performance.now()}`)
    await writeFile(data, text, { mode: 0o600 })
    await symlink(data, `${configPath}.link`)
    await rename(`${configPath}.link`, configPath)
  }

  async rotate(service: Service): Promise<void> {
    const { mount } = this.#lane.transit
    await this.#ground.bao.request('POST', `${mount}/keys/${this.keyAt(service)}/rotate`)
  }

  /** Every token that went over the proxies is worth nothing any more. */
  async revoke(): Promise<void> {
    const tokens = SERVICES.flatMap((service) => [...this.proxies[service].secrets])
    await Promise.all(
      tokens
        .filter((secret) => /^(?:hv)?s\./.test(secret))
        .map((token) =>
          // It may have ended before.
          this.#ground.bao.request('POST', 'auth/token/revoke', { token }).catch(() => undefined),
        ),
    )
  }

  readonly files: Readonly<Record<FileFault, () => Promise<unknown>>> = {
    'socket vanished': () => rm(this.plugin.socketPath, { force: true }),
    'folder replaced': async () => {
      const folder = this.folder.at('run')
      await rename(folder, `${folder}-${performance.now()}`)
      await mkdir(folder, { mode: 0o700 })
    },
    'folder closed': () => chmod(this.folder.at('run'), 0o000),
    'config half written': () => this.#half(this.placeOf('').configPath),
    'config gone': () => rm(this.placeOf('').configPath, { force: true }),
    'config link swapped': () => this.writeConfig('by link'),
    'secret id half written': () => this.#half(this.folder.at('secret-id')),
    'secret id gone': () => rm(this.folder.at('secret-id'), { force: true }),
    'secret id destroyed': async () => {
      const secretId = (await readFile(this.folder.at('secret-id'), 'utf8').catch(() => '')).trim()
      const role = `auth/approle/role/${this.#lane.transit.role}`
      const body = { secret_id: secretId }
      if (secretId === '') return
      await this.#ground.bao
        .request('POST', `${role}/secret-id/destroy`, body)
        // Half of one is none.
        .catch(() => undefined)
      await this.revoke()
    },
    'authority half written': () => this.#half(this.folder.at('ca.pem')),
    'state damaged': () => writeFile(this.folder.at('state/state.json'), '{"format":2,"endpoi'),
  }

  async #half(path: string): Promise<void> {
    const whole = await readFile(path).catch(() => undefined)
    if (whole !== undefined) await truncate(path, Math.floor(whole.length / 2))
  }

  /** As an operator does who has seen what is wrong. */
  async mendFiles(): Promise<void> {
    await chmod(this.folder.at('run'), 0o700)
    await cp(this.#ground.caFile, this.folder.at('ca.pem.new'))
    await rename(this.folder.at('ca.pem.new'), this.folder.at('ca.pem'))
    await this.#mendSecretId()
    await this.writeConfig('in place')
    await rm(this.folder.at('state/full'), { force: true })
  }

  async #mendSecretId(): Promise<void> {
    const { transit } = this.#lane
    await transit.replaceSecretId()
    await replaceFile(this.folder.at('secret-id'), await readFile(transit.secretIdFile, 'utf8'))
  }

  /** What the key service itself answers to each item. */
  async decryptDirectly(path: string, items: readonly object[]): Promise<unknown[]> {
    const body = { batch_input: items, partial_failure_response_code: 200 }
    const answer = readObject(JSON.stringify(await this.#ground.bao.request('POST', path, body)))
    const all = objectAt(answer, 'data')['batch_results']
    return Array.isArray(all) ? all : []
  }

  /** Whether the key service answers a question that goes past the proxies within `ms`. */
  async answersAtOnce(ms: number): Promise<boolean> {
    const start = performance.now()
    await this.#ground.bao.request('GET', 'sys/health').catch(() => undefined)
    return performance.now() - start < ms
  }

  /** Resident memory of the plugin's process at its most. */
  async peakMb(): Promise<number | undefined> {
    const { pid } = this.plugin
    if (pid === undefined) return undefined
    const status = await readFile(`/proc/${pid}/status`, 'utf8')
    return Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024
  }

  heal(service: Service): void {
    this.proxies[service].heal()
  }

  /** Only while a process runs; it ends by itself. */
  async processFault(fault: 'killed' | 'frozen' | 'no descriptors' | 'disk full', ms: number) {
    const { pid } = this.plugin
    if (pid === undefined) return
    if (fault === 'killed') return await this.plugin.restart('killed')
    if (fault === 'disk full') return await this.#fillDisk()
    if (fault === 'frozen') {
      process.kill(pid, 'SIGSTOP')
      await pause(ms)
      process.kill(pid, 'SIGCONT')
      return
    }
    const limits = await readFile(`/proc/${pid}/limits`, 'utf8')
    const before = /^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? ''
    // What is open stays open; nothing more can be.
    await run('prlimit', [`--pid=${pid}`, '--nofile=0:'])
    await pause(ms)
    await run('prlimit', [`--pid=${pid}`, `--nofile=${before}:`])
  }

  async #fillDisk(): Promise<void> {
    if (!this.#disk) return
    await writeFile(this.folder.at('state/full'), Buffer.alloc(1_000_000)).catch(() => undefined)
  }

  fault<T>({ fault, chance, seed }: { fault: T; chance: number; seed: number }) {
    return { fault, chance, random: new SeededRandom(seed) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(SERVICES.map((service) => this.proxies[service][Symbol.asyncDispose]()))
    if (this.#disk) await run('umount', ['-l', this.folder.at('state')])
    await this.folder[Symbol.asyncDispose]()
  }
}
