/** What a command may do to the world: print, read its environment, and learn that it shall stop. @module */

export interface Io {
  /** Standard output. */
  out(text: string): void
  /** Settles when standard output has taken all of it; where it cannot, the process has ended with an error. */
  outTaken(): Promise<void>
  /** Standard error. */
  err(text: string): void
  /** Whether standard output is a terminal that shows colours. */
  readonly color: boolean
  /** Columns of standard output where it is a terminal. */
  readonly columns: number | undefined
  /** Whether standard output is a terminal where what was written can be replaced. */
  readonly redraws: boolean
  /** Whether standard error is such a terminal, where progress may be shown. */
  readonly showsProgress: boolean
  /** Whether a person reads standard error at once. */
  readonly atTerminal: boolean
  /** Fires on SIGINT and SIGTERM. */
  readonly stop: AbortSignal
  /**
   * Asks a person for what must not be seen.
   *
   * @throws KmsError where there is no terminal
   */
  ask(question: string): Promise<string>
  /** From now on SIGHUP calls `run` and ends nothing. */
  onReload(run: () => void): void
  /** Has it asked at the end whether something may hold the process for ever. */
  mayHang(stuck: () => boolean): void
  /** Variables of the environment. */
  readonly environment: Readonly<Record<string, string | undefined>>
}
