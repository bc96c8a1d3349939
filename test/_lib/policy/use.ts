/** One use of a key, as a gate is asked about it. @module */

import type { KeyUse } from '../../../src/base/gate.ts'

export const ENCRYPT = {
  operation: 'encrypt',
  api: 'v2',
  provider: 'a',
  keyVersion: '1',
  size: 32,
} as const satisfies KeyUse

export const CALL = {
  signal: new AbortController().signal,
  deadline: Number.POSITIVE_INFINITY,
}
