/** What keeps an API server from starting with its EncryptionConfiguration. @module */

export interface ConfigProblem {
  /** Stable, for scripts. */
  readonly id: string
  /** Where in the file: `resources[0].providers[1].kms.name`. */
  readonly at: string
  /** What is wrong, without anything that may be a key. */
  readonly what: string
  readonly todo: string
  /** The minor version of Kubernetes that refuses it first; all of them where absent. */
  readonly since?: number
  /** What an API server must be told to refuse it; nothing where absent. */
  readonly unless?: 'kmsV1'
  readonly only?: 'reload'
}
