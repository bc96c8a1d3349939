/** The config of a login method that says whom it trusts. @module */

import * as v from 'valibot'
import { commandLine } from '../../../base/shell.ts'
import type { Setup } from './input.ts'
import type { SetupStep } from './step.ts'

/** The parts of that config that the plan shows. */
const trusted = v.object({
  kubernetes_host: v.fallback(v.string(), ''),
  jwks_url: v.fallback(v.string(), ''),
  oidc_discovery_url: v.fallback(v.string(), ''),
  bound_issuer: v.fallback(v.string(), ''),
  default_role: v.fallback(v.string(), ''),
  jwt_validation_pubkeys: v.fallback(v.array(v.string()), []),
})

/** Only the operator can judge whether such a config is right. */
export function configStep(
  { cli }: Setup,
  path: string,
  why: readonly string[],
  commands: readonly string[],
): SetupStep {
  return {
    what: path,
    why,
    commands,
    fillIn: true,
    async look(admin) {
      const found = await admin.read(path, trusted)
      if (found === undefined) return { state: 'by hand', detail: 'only you know whom to trust' }
      const shown = Object.entries(found).flatMap(([name, value]) => {
        if (Array.isArray(value)) return value.length === 0 ? [] : [`${name}: ${value.length}`]
        return value === '' ? [] : [`${name}=${value}`]
      })
      const detail = ['is set; compare it, see below', ...shown].join(', ')
      return { state: 'ok', detail, compareWith: commandLine([cli, 'read', path]) }
    },
  }
}
