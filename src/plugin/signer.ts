/**
 * The signer of ServiceAccount tokens, as one config makes it, on its socket. Loaded only where the
 * config has one.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { createPublicKey } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import { KmsError, systemReasonOf, toKmsError } from '../base/errors.ts'
import type { EventSink } from '../base/events.ts'
import type { Call } from '../base/provider.ts'
import type { SigningKeySource, TokenSigner } from '../base/signing_key.ts'
import { readSmallFile } from '../base/small_file.ts'
import type { Config } from '../config/schema.ts'
import type { SignerConfig } from '../config/signer.ts'
import { createSignerStateFile } from '../config/signer_state_file.ts'
import type { GrpcServer } from '../grpc/server.ts'
import { startSignerServer } from '../grpc/signer.ts'
import type { FetchSvids } from '../remote/jwt_svid.ts'
import { createLocalSigningKey } from '../services/local/signing_key.ts'
import { createVaultSigningKey } from '../services/vault/signing_key.ts'
import { type BesideKey, SIGNER, Signer } from '../signer/signer.ts'
import type { SignerStore } from '../signer/state.ts'
import { verificationKey } from '../signer/verification_key.ts'
import { DRAIN_MS } from './sockets.ts'

interface SignerDeps {
  readonly clock: Clock
  readonly events: EventSink
  readonly fetchSvids: FetchSvids
  /** Whether what each request did is written down. */
  readonly records: boolean
  /** Takes the socket of a plugin that runs. */
  readonly takeOver: boolean
  /** Called with a function that tells whether a file system blocks the process. */
  readonly mayHang?: ((stuck: () => boolean) => void) | undefined
}

type SignedConfig = Config & { readonly signer: SignerConfig; readonly stateDir: string }

/** How often it is tried again to make it and to open its socket. */
const RETRY_MS = 5_000
/** A signer that is configured no more answers what is under way for this long. */
const RETIRE_MS = 1_000

/** A config with a signer has a `stateDir`: `signerProblems` sees to it. */
export function hasSigner(config: Config): config is SignedConfig {
  return config.signer !== undefined && config.stateDir !== undefined
}

/**
 * Opens nothing yet.
 *
 * @throws KmsError where it would take over a socket and could sign nothing
 */
export async function prepareSigner(
  config: SignedConfig,
  deps: SignerDeps,
): Promise<RunningSigner> {
  const store = createSignerStateFile(config.stateDir)
  deps.mayHang?.(store.stuck)
  const running = new RunningSigner(config, store, deps)
  if (deps.takeOver) await running.prove()
  return running
}

export class RunningSigner implements TokenSigner {
  readonly #deps: SignerDeps
  readonly #store: SignerStore
  #config: SignedConfig
  /** Undefined while it could not be made. */
  #signer: Signer | undefined
  #server: GrpcServer | undefined
  /** Why there is no socket. */
  #unheard: string | undefined
  #cancelRetry: () => void = () => undefined
  /** Those that are configured no more, each with how to end it now. */
  readonly #retired = new Set<() => Promise<void>>()
  #closed = false

  constructor(config: SignedConfig, store: SignerStore, deps: SignerDeps) {
    this.#config = config
    this.#store = store
    this.#deps = deps
  }

  get maxTokenSeconds(): number {
    return this.#config.signer.maxTokenLife / 1_000
  }

  async sign(claims: string, call: Call) {
    return await (await this.#made()).sign(claims, call)
  }

  async fetchKeys(call: Call) {
    return await (await this.#made()).fetchKeys(call)
  }

  /** What keeps tokens from being signed now. */
  get problem(): string | undefined {
    return this.#unheard ?? this.#signer?.watch.problem?.message
  }

  /** @throws KmsError where nothing can be signed now */
  async prove(): Promise<void> {
    const { watch } = await this.#made()
    await watch.look()
    if (watch.problem === undefined) return
    await this.close()
    const message = `Took nothing over, the plugin that runs goes on: the signer could sign nothing now: ${watch.problem.message}`
    throw new KmsError(message, { code: 'unavailable' })
  }

  /**
   * The socket answers before anything remote is asked. Where something on this node is missing it
   * is tried again: Secrets are served all the same.
   */
  async open(): Promise<void> {
    try {
      const { watch } = await this.#made()
      watch.start()
      await this.#listen()
    } catch (error) {
      this.#openLater(error)
    }
  }

  /**
   * Puts another config in force.
   *
   * @throws KmsError; everything then stays as it was
   */
  async apply(config: Config): Promise<void> {
    if (!hasSigner(config)) return
    if (JSON.stringify(partsOf(config)) === JSON.stringify(partsOf(this.#config))) return
    const before = this.#signer
    const next = await makeSigner(config, this.#store, this.#deps)
    if (before === undefined) await next.watch.load()
    else next.watch.takeOver(before.watch)
    await next.watch.look()
    const { problem } = next.watch
    if (problem !== undefined && before !== undefined && before.watch.problem === undefined) {
      await next.close(RETIRE_MS)
      const message = `With this config the signer could sign nothing now: ${problem.message}`
      throw new KmsError(message, { code: 'unavailable' })
    }
    this.#config = config
    this.#signer = next
    if (before !== undefined) this.#retire(before)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancelRetry()
    await this.#server?.close()
    await Promise.all([...this.#retired].map((end) => end()))
    await this.#signer?.close(RETIRE_MS)
  }

  async #made(): Promise<Signer> {
    if (this.#signer !== undefined) return this.#signer
    const signer = await makeSigner(this.#config, this.#store, this.#deps)
    await signer.watch.load()
    if (this.#signer === undefined) {
      this.#signer = signer
    } else {
      // A reload was quicker.
      await signer.close(RETIRE_MS)
    }
    return this.#signer
  }

  /** What is under way there ends first. */
  #retire(signer: Signer): void {
    signer.watch.stop()
    const end = async () => {
      cancel()
      this.#retired.delete(end)
      // Nothing depends on it.
      await signer.close(RETIRE_MS).catch(() => undefined)
    }
    const cancel = this.#deps.clock.after(this.#config.requestTimeout + RETIRE_MS, () => void end())
    this.#retired.add(end)
  }

  async #listen(): Promise<void> {
    const { clock, events, takeOver, records } = this.#deps
    const server = await startSignerServer({
      clock,
      events,
      takeOver,
      records,
      endpoint: SIGNER,
      socket: this.#config.signer.socket,
      requestTimeoutMs: this.#config.requestTimeout,
      drainMs: DRAIN_MS,
      signer: this,
    })
    this.#unheard = undefined
    if (this.#closed) await server.close()
    else this.#server = server
  }

  #openLater(error: unknown): void {
    if (this.#closed) return
    this.#unheard = toKmsError(error).message
    const message = `The signer cannot have its socket, and tries again every ${RETRY_MS / 1000} s`
    const what = 'endpoint_failed'
    this.#deps.events.emit({ type: 'notice', level: 'error', what, message, error })
    this.#cancelRetry = this.#deps.clock.after(RETRY_MS, () => void this.open())
  }
}

/** What a signer is made of. */
function partsOf({ signer, health, requestTimeout }: SignedConfig) {
  return { signer, interval: health.interval, requestTimeout }
}

async function makeSigner(
  config: SignedConfig,
  store: SignerStore,
  deps: SignerDeps,
): Promise<Signer> {
  const { signer, health, requestTimeout } = config
  const beside = await Promise.all(signer.legacyKeys.map(legacyKeyOf))
  const source = sourceOf(signer.key, { ...deps, requestTimeoutMs: requestTimeout })
  const message = `ServiceAccount tokens are signed with ${source.describe()}`
  deps.events.emit({ type: 'notice', level: 'info', what: 'signing_key', message })
  const options = {
    sourceId: source.id,
    activationDelayMs: signer.activationDelay,
    maxTokenLifeMs: signer.maxTokenLife,
    distrusted: new Set(signer.distrusted),
    intervalMs: health.interval,
    requestTimeoutMs: requestTimeout,
    refreshMs: signer.refreshHint,
    beside,
  }
  return new Signer(source, options, { ...deps, store })
}

function sourceOf(
  key: SignerConfig['key'],
  deps: SignerDeps & { readonly requestTimeoutMs: number },
): SigningKeySource {
  return key.type === 'local'
    ? createLocalSigningKey(key.keyFile)
    : createVaultSigningKey(key, SIGNER, deps)
}

async function legacyKeyOf({
  file,
  discovery,
}: SignerConfig['legacyKeys'][number]): Promise<BesideKey> {
  const what = `File "${file}" (signer.legacyKeys)`
  const text = await readSmallFile(file).catch((cause: unknown) => {
    const message = `${what} cannot be read: ${systemReasonOf(cause)}`
    throw new KmsError(message, { code: 'key_unavailable', cause })
  })
  return { ...verificationKey(publicKeyIn(text, what), what), inDiscovery: discovery }
}

function publicKeyIn(pem: string, what: string): Uint8Array {
  if (pem.includes('PRIVATE KEY')) {
    const message = `${what} holds a private key: wanted the public one alone`
    throw new KmsError(message, { code: 'key_unavailable' })
  }
  try {
    return new Uint8Array(createPublicKey(Buffer.from(pem)).export({ type: 'spki', format: 'der' }))
  } catch (cause) {
    const message = `${what} holds no public key in PEM`
    throw new KmsError(message, { code: 'key_unavailable', cause })
  }
}
