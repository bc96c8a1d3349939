/**
 * Everything through which a command reaches the outside: it prints, reads its environment, and
 * learns that it must stop.
 *
 * @module
 */

import type { Host } from '../base/host.ts'

export interface Io extends Host {
  /** Standard output. */
  out(text: string): void
  /**
   * Settles when standard output has accepted everything; if it cannot, the process has ended with
   * an error.
   */
  outTaken(): Promise<void>
  /** Standard error. */
  err(text: string): void
  /** Whether standard output is a terminal that can show colours. */
  readonly color: boolean
  /** Columns of standard output now, where it is a terminal. */
  readonly columns: number | undefined
  /** Lines of that terminal now. */
  readonly rows: number | undefined
  /** Whether standard output is a terminal on which written text can be replaced. */
  readonly redraws: boolean
  /** Whether standard error is such a terminal, where progress may be shown. */
  readonly showsProgress: boolean
  /**
   * Asks a person for something that must not be seen, such as a passphrase.
   *
   * @throws KmsError where there is no terminal
   */
  ask(question: string): Promise<string>
  /**
   * Hands over each key that is pressed, Ctrl-C too, until the returned function is called. Without
   * a terminal there are none.
   */
  onKey(press: (key: string) => void): () => void
}
