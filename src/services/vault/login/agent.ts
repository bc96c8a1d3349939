/** No login: a Vault agent or proxy in between adds its own token to each request. @module */

import * as v from 'valibot'
import type { LoginMethod } from '../../../remote/token_source.ts'

export const agentConfig = v.strictObject({ method: v.literal('agent') })

const NO_TOKEN = { value: undefined, ttlSeconds: 0, renewable: false } as const

export function createAgentLogin(): LoginMethod {
  return {
    name: 'agent',
    prepare: () =>
      Promise.resolve({ fingerprint: 'agent', login: () => Promise.resolve(NO_TOKEN) }),
    renew: () => Promise.resolve(NO_TOKEN),
  }
}
