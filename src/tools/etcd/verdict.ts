/** Decides whether an object is encrypted with what is wanted. It is a pure function. @module */

import type { StoredRecord } from './record.ts'
import type { Protection } from './seeds.ts'

/** What the next write of any object would use. */
export interface Wanted {
  /** One key id, or one for each endpoint of a config. */
  readonly keyIds: ReadonlySet<string>
  /**
   * How many providers write when all are healthy; where that is not known, the number of the
   * wanted key id counts.
   */
  readonly providers?: number | undefined
}

export const VERDICTS = [
  /** As wanted; or sound, where it is not known what is wanted. */
  'ok',
  /** Written by fewer providers than there are; a rewrite adds the others. */
  'degraded',
  /** Under another key id, another API or another kind of encryption; a rewrite changes that. */
  'stale',
  /** In the clear, although its resource should be encrypted. */
  'plaintext',
  /** The plugin that wrote it gave no key: nobody can open it. */
  'empty-key',
  /** kube-apiserver would not even try to open it. */
  'damaged',
  /** In a form that is not known here. */
  'unknown',
  /** In the clear, like all objects of its resource. */
  'unencrypted',
  /** The API server's own records, which no configuration encrypts. */
  'never-encrypted',
] as const
export type Verdict = (typeof VERDICTS)[number]

/** There should be no objects with these verdicts. */
export const FINDINGS = [
  'empty-key',
  'damaged',
  'unknown',
  'plaintext',
  'degraded',
  'stale',
] as const satisfies readonly Verdict[]

interface Judged {
  readonly form: StoredRecord['form']
  readonly keyId: string | undefined
  readonly protection: Protection | undefined
  /** The key is one of those that no configuration encrypts. */
  readonly never: boolean
  readonly mustEncrypt: boolean
}

/** @param providers how many write when all are healthy */
export function verdictOf(
  judged: Judged,
  keyIds: ReadonlySet<string> | undefined,
  providers: number | undefined,
): Verdict {
  const { form, never, mustEncrypt } = judged
  switch (form) {
    case 'damaged':
    case 'empty-key':
      return form
    case 'unknown-encryption':
      return 'unknown'
    case 'foreign':
      return never ? 'never-encrypted' : 'damaged'
    case 'plaintext':
      if (never) return 'never-encrypted'
      return mustEncrypt ? 'plaintext' : 'unencrypted'
    default:
      return ageOf(judged, keyIds, providers)
  }
}

function ageOf(
  { form, keyId, protection }: Judged,
  keyIds: ReadonlySet<string> | undefined,
  providers = 0,
): Verdict {
  if (keyIds === undefined) return 'ok'
  if (protection !== undefined && protection.members.length < providers) return 'degraded'
  return form === 'kms-v2' && keyId !== undefined && keyIds.has(keyId) ? 'ok' : 'stale'
}
