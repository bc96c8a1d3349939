/** A request as the fake sees it. @module */

import type { IncomingHttpHeaders } from 'node:http'

export interface Request {
  readonly method: string
  /** Without the query. */
  readonly path: string
  readonly query: URLSearchParams
  /** From which it came. */
  readonly port: number | undefined
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** Undefined for a body that is no JSON. */
  readonly json: unknown
}
