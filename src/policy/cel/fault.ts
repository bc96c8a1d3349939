/** What is wrong with a rule, and at which node of its expression. @module */

import type { Expr } from './library.ts'

export class RuleFault extends Error {
  override readonly name = 'RuleFault'
  readonly id: bigint

  constructor(message: string, { id }: Pick<Expr, 'id'>) {
    super(message)
    this.id = id
  }
}
