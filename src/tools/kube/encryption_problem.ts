/** What keeps an API server from starting with its EncryptionConfiguration. @module */

export interface ConfigProblem {
  /** Stable, for scripts. */
  readonly id: string
  /** The place in the file: `resources[0].providers[1].kms.name`. */
  readonly at: string
  /** What is wrong, without anything that may be a key. */
  readonly what: string
  readonly todo: string
  /** The first minor version of Kubernetes that refuses it; all of them where absent. */
  readonly since?: number
  /** A setting with which an API server accepts it; none where absent. */
  readonly unless?: 'kmsV1'
  readonly only?: 'reload'
}
