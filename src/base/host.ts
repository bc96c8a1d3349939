/** The process that a program runs in, as far as the program need know it. @module */

export interface Host {
  /** Variables of the environment. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Whether a person reads standard error directly. */
  readonly atTerminal: boolean
  /** Fires on SIGINT and SIGTERM. */
  readonly stop: AbortSignal
  /** From now on SIGHUP calls `run` and ends nothing. */
  onReload(run: () => void): void
  /**
   * Registers a check that the end of the process makes: whether something may hold the process for
   * ever.
   */
  mayHang(stuck: () => boolean): void
}
