/**
 * Opens wraps of the transit engine: what is asked for each wrap, and whether the answer may be
 * used. Until the service was seen to use associated data, every wrap that is bound by them is also
 * tried under other data in the same batch.
 *
 * @module
 */

import { KmsError } from '../../base/errors.ts'
import type { Outcome, Wrapped } from '../../base/provider.ts'
import {
  noSuchVersion,
  OTHER_DATA,
  openedUnderAny,
  readLabel,
  type VaultBinding,
  withoutDigest,
} from './binding.ts'
import { type BatchResult, decryptItem, plaintextOf } from './transit.ts'

interface UnwrappingOptions {
  /** The provider's name. */
  readonly name: string
  readonly binding: VaultBinding
  /** True where wraps that are bound to nothing are opened too. */
  readonly allowUnbound: boolean
  /** Has items decrypted, and returns their results in the same order. */
  readonly decrypt: (input: readonly object[]) => Promise<readonly BatchResult[]>
}

/** The items that are sent for one wrap, and how their results are read. */
interface Question {
  readonly input: readonly object[]
  read(results: readonly BatchResult[]): Outcome<Uint8Array>
}

export async function unwrapAll(
  items: readonly Wrapped[],
  options: UnwrappingOptions,
): Promise<readonly Outcome<Uint8Array>[]> {
  const outcomes = await ask(
    items.map((item) => questionOf(item, options)),
    options,
  )
  if (!options.allowUnbound) return outcomes
  return await openUnbound(items, outcomes, options)
}

async function ask(
  questions: readonly Question[],
  { decrypt }: UnwrappingOptions,
): Promise<readonly Outcome<Uint8Array>[]> {
  const results = await decrypt(questions.flatMap(({ input }) => input))
  let at = 0
  return questions.map(({ input, read }) => {
    at += input.length
    return read(results.slice(at - input.length, at))
  })
}

function questionOf(
  { version: label, bytes, associatedData }: Wrapped,
  options: UnwrappingOptions,
) {
  // What another plugin wrapped is bound to nothing, and its text names the version.
  if (associatedData === undefined) return plainQuestion(decryptItem(label, bytes, undefined))
  const known = readLabel(label)
  if (known === undefined) return refusal(noSuchVersion())
  const { version, inside } = known
  if (inside) {
    const { input, read } = plainQuestion(decryptItem(version, bytes, undefined))
    return {
      input,
      read: (results: readonly BatchResult[]) => withoutDigest(read(results), associatedData),
    }
  }
  const item = decryptItem(version, bytes, associatedData)
  if (options.binding.heeds) return boundQuestion(item)
  return doubtful([item, decryptItem(version, bytes, OTHER_DATA)], options)
}

function plainQuestion(item: object): Question {
  return { input: [item], read: ([result = {}]) => plaintextOf(result) }
}

/** Asks under the wrap's associated data, for a service that uses them. */
function boundQuestion(item: object): Question {
  return { input: [item], read: ([result = {}]) => withHint(plaintextOf(result)) }
}

/** After the upgrade of an old server, wraps that it bound to nothing fail like this. */
function withHint(outcome: Outcome<Uint8Array>): Outcome<Uint8Array> {
  if (outcome.ok || outcome.error.code !== 'ciphertext_invalid') return outcome
  const { code, message } = outcome.error
  const hint =
    'or was made on HashiCorp Vault before 1.13 (docs/providers/vault.md: allowUnboundDecrypt)'
  return { ok: false, error: new KmsError(`${message}, ${hint}`, { code }) }
}

function refusal(error: KmsError): Question {
  return { input: [], read: () => ({ ok: false, error }) }
}

/** Also tries the wrap under other data, which must fail. */
function doubtful(
  input: readonly object[],
  { name, binding, allowUnbound }: UnwrappingOptions,
): Question {
  return {
    input,
    read([result = {}, other = {}]) {
      const opened = withHint(plaintextOf(result))
      if (!opened.ok) return opened
      const tried = plaintextOf(other)
      if (tried.ok) {
        binding.ignored()
        if (!allowUnbound) return { ok: false, error: openedUnderAny(name) }
        binding.openedUnbound()
      } else if (tried.error.code === 'ciphertext_invalid') binding.heeded()
      else return tried
      return opened
    },
  }
}

/** Tries again without associated data what was refused with them. */
async function openUnbound(
  items: readonly Wrapped[],
  outcomes: readonly Outcome<Uint8Array>[],
  options: UnwrappingOptions,
): Promise<readonly Outcome<Uint8Array>[]> {
  const questions = items.map((item, index) => {
    const outcome = outcomes[index]
    const refused = outcome?.ok === false && outcome.error.code === 'ciphertext_invalid'
    const known = readLabel(item.version)
    const mayBeUnbound = item.associatedData !== undefined && known?.inside === false
    if (!refused || !mayBeUnbound) return kept(outcome)
    return plainQuestion(decryptItem(known.version, item.bytes, undefined))
  })
  if (questions.every(({ input }) => input.length === 0)) return outcomes
  const opened = await ask(questions, options)
  if (opened.some(({ ok }, index) => ok && outcomes[index]?.ok === false)) {
    options.binding.openedUnbound()
  }
  return opened
}

function kept(outcome: Outcome<Uint8Array> | undefined): Question {
  const missing = { ok: false, error: new KmsError('No result', { code: 'internal' }) } as const
  return { input: [], read: () => outcome ?? missing }
}
