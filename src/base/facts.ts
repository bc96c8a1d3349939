/**
 * Facts about this node, as far as others than the rules use them: a login takes some of them into
 * what it signs.
 *
 * @module
 */

export interface NodeFacts {
  /** Settles when they have been read for the first time. */
  readonly ready: Promise<void>
  /** A fact as a text for a claim; `unknown` where it is not known. */
  text(path: string): string
  /** Calls `run` after any of these facts has changed; the returned function ends that. */
  onChange(paths: readonly string[], run: () => void): () => void
}
