/** What a command may do to the world: print, and learn that it shall stop. @module */

export interface Io {
  /** Standard output. */
  out(text: string): void
  /** Standard error. */
  err(text: string): void
  /** Whether standard output is a terminal that shows colours. */
  readonly color: boolean
  /** Fires on SIGINT and SIGTERM. */
  readonly stop: AbortSignal
  /** From now on SIGHUP calls `run` and ends nothing. */
  onReload(run: () => void): void
}
