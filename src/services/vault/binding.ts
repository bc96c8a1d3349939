/**
 * How a wrap of the transit engine is bound to its envelope. Vault uses `associated_data` since
 * version 1.13; older versions silently ignore the field. There the digest goes into the plaintext,
 * under a version label of its own, so that envelope and key id show it.
 *
 * What the service does is tested with every batch that it encrypts: the batch has a trial item
 * whose associated data is no base64, and a service that reads the field refuses that item.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { timingSafeEqual } from 'node:crypto'
import type { Clock } from '../../base/clock.ts'
import { KmsError } from '../../base/errors.ts'
import type { EventSink } from '../../base/events.ts'
import { type Notify, notifierOf, type OfProvider } from '../../base/notices.ts'
import type { KeyVersion, Outcome, Plain, Remark } from '../../base/provider.ts'
import { type BatchResult, encryptItem } from './transit.ts'

const INSIDE = '.inside'
const LABEL = /^(\d{1,9})(\.inside)?$/
const NO_BASE64 = '!'
/** The length of the digest that wraps are bound to. */
export const DIGEST_BYTES = 32
/** Any bytes that are no digest: a wrap opens under them only where nothing is bound. */
export const OTHER_DATA = Uint8Array.of(0)
/**
 * Longer than the nodes of a cluster run two versions during an upgrade; otherwise key ids would
 * change back and forth.
 */
const STAY_INSIDE_MS = 600_000

interface Label {
  readonly version: number
  /** True where the digest precedes the plaintext, because the service binds nothing. */
  readonly inside: boolean
}

/** Undefined for text that is no label of a transit key's version. */
export function readLabel(label: string): Label | undefined {
  const [, version, inside] = LABEL.exec(label) ?? []
  return version === undefined
    ? undefined
    : { version: Number(version), inside: inside !== undefined }
}

export function noSuchVersion(): KmsError {
  return new KmsError('Transit keys have no version of this name: wanted a number', {
    code: 'key_unavailable',
  })
}

/** One item of a batch to encrypt. */
export function wrapItem({ version, inside }: Label, { plaintext, associatedData }: Plain): object {
  return inside
    ? encryptItem(version, Buffer.concat([associatedData, plaintext]), undefined)
    : encryptItem(version, plaintext, associatedData)
}

/** An item that is added to a batch to encrypt, as a test. */
export function trialItem(version: number): object {
  return { ...encryptItem(version, Uint8Array.of(0), undefined), associated_data: NO_BASE64 }
}

/** The plaintext without the digest that precedes it. */
export function withoutDigest(
  opened: Outcome<Uint8Array>,
  associatedData: Uint8Array,
): Outcome<Uint8Array> {
  if (!opened.ok) return opened
  const digest = opened.value.subarray(0, DIGEST_BYTES)
  const fits = digest.length === DIGEST_BYTES && associatedData.length === DIGEST_BYTES
  if (fits && timingSafeEqual(digest, associatedData)) {
    return { ok: true, value: opened.value.subarray(DIGEST_BYTES) }
  }
  const message = 'Wrap is damaged, or of another envelope'
  return { ok: false, error: new KmsError(message, { code: 'ciphertext_invalid' }) }
}

interface BindingOptions {
  /** The provider's name. */
  readonly name: string
  readonly clock: Clock
  readonly events: EventSink
}

/** What is known of how the service binds. */
export class VaultBinding {
  readonly #options: BindingOptions
  readonly #notify: Notify<OfProvider>
  #heeds = false
  /** When the service was last seen to ignore associated data, in monotonic milliseconds. */
  #ignoredAt: number | undefined
  #toldOfUnbound = false

  constructor(options: BindingOptions) {
    this.#options = options
    this.#notify = notifierOf(options.events, { provider: options.name })
  }

  /**
   * True once the service was seen to use associated data, and was not seen to ignore them since
   * then.
   */
  get heeds(): boolean {
    return this.#heeds
  }

  /** True where wraps must be bound by a digest inside the plaintext. */
  get inside(): boolean {
    const { clock } = this.#options
    return this.#ignoredAt !== undefined && clock.monotonic() - this.#ignoredAt < STAY_INSIDE_MS
  }

  get note(): string | undefined {
    return this.inside
      ? 'the key service ignores associated data, as HashiCorp Vault before 1.13 does: wraps are bound inside their plaintext'
      : undefined
  }

  /** The versions with the labels for the way in which wraps must be bound now. */
  labelled(versions: readonly KeyVersion[]): readonly KeyVersion[] {
    return versions.map(({ label, ...version }) => {
      const inside = `${label}${INSIDE}`
      return this.inside
        ? { ...version, label: inside, otherLabel: label }
        : { ...version, label, otherLabel: inside }
    })
  }

  /**
   * Removes the trial item from the results of an encrypted batch, and learns from it.
   *
   * @throws KmsError `unbound` where the items are bound to nothing
   */
  withoutTrial(results: readonly BatchResult[], { inside }: Label): readonly BatchResult[] {
    const items = results.slice(0, -1)
    const trial = results.at(-1)
    if (trial !== undefined && succeeded(trial)) {
      this.ignored()
      if (!inside) throw ignores(this.#options.name)
    } else if (items.some(succeeded)) this.heeded()
    return items
  }

  ignored(): void {
    const { name, clock } = this.#options
    const first = !this.inside
    this.#heeds = false
    this.#ignoredAt = clock.monotonic()
    if (!first) return
    this.#notify(
      'warn',
      'binding_inside',
      `Key service of provider "${name}" ignores associated data, as HashiCorp Vault before 1.13 does: wraps are bound inside their plaintext from now on; upgrade it to 1.13 or later`,
    )
  }

  heeded(): void {
    this.#heeds = true
  }

  openedUnbound(): void {
    if (this.#toldOfUnbound) return
    this.#toldOfUnbound = true
    this.#notify(
      'warn',
      'opened_unbound',
      `Provider "${this.#options.name}" opened a wrap that nothing is bound to (allowUnboundDecrypt): rotate the key, have everything rewritten with "trousseau migrate", and take the option away when "trousseau scan" finds no older key id`,
    )
  }
}

export function openedUnderAny(name: string): KmsError {
  return new KmsError(
    `Key service opened a wrap of provider "${name}" under any associated data, so it may belong to another envelope: it was made on HashiCorp Vault before 1.13 by a version of Trousseau that did not notice; allowUnboundDecrypt: true of the provider lets it be read (docs/providers/vault.md)`,
    { code: 'unbound' },
  )
}

function ignores(name: string): KmsError {
  return new KmsError(
    `Key service of provider "${name}" ignores associated data, as HashiCorp Vault before 1.13 does: nothing was written under it; wraps will be bound inside their plaintext`,
    { code: 'unbound' },
  )
}

/** The remarks that doctor shows. */
export function bindingRemarks({
  inside,
  allowUnbound,
}: {
  readonly inside: boolean
  readonly allowUnbound: boolean
}): Remark[] {
  const ignoring: Remark = {
    id: 'service-ignores-associated-data',
    level: 'warning',
    what: 'The key service ignores associated data, as HashiCorp Vault before 1.13 does',
    why: 'Wraps are bound inside their plaintext there, which is safe. What a version of Trousseau that did not notice wrote is bound to nothing, and opens with allowUnboundDecrypt alone.',
    todo: 'Upgrade the key service to 1.13 or later: docs/providers/vault.md has the order of things.',
  }
  const allowing: Remark = {
    id: 'unbound-decrypt-allowed',
    level: 'warning',
    what: 'Wraps that nothing is bound to are opened (allowUnboundDecrypt)',
    why: 'Whoever can write to etcd can put the key of one object in the place of another.',
    todo: 'Rotate the key, run "trousseau migrate", and take the option away when "trousseau scan" finds no older key id: docs/providers/vault.md',
  }
  return [...(inside ? [ignoring] : []), ...(allowUnbound ? [allowing] : [])]
}

/** Whether an item of a batch was encrypted. */
export function succeeded({ ciphertext, error }: BatchResult): boolean {
  return ciphertext !== undefined && (error === undefined || error === '')
}
