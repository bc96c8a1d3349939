/** A fault that is put into the sources on purpose, to see that a test finds it. @module */

export interface Fault {
  readonly title: string
  /** Below `src/`; its first folder is the layer. */
  readonly file: string
  /** Stands in the file once. */
  readonly from: string
  readonly to: string
  /** The test file that finds it, below `test/` and without `.test.ts`. */
  readonly by: string
}
