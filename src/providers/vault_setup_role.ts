/**
 * The role that gives the plugin its tokens, by whatever name the login method
 * has for it: a role, a certificate or a user.
 *
 * @module
 */

import * as v from 'valibot'
import type { Body, VaultAdmin } from './vault_setup_admin.ts'
import type { Setup } from './vault_setup_input.ts'
import { writeCommand } from './vault_setup_shell.ts'
import type { Finding, SetupStep } from './vault_setup_step.ts'

export interface Role {
  readonly path: string
  readonly why: readonly string[]
  /** Who gets in; a role with others is somebody else's. */
  readonly bounds: Body
  /** The bounds have `<...>` in them. */
  readonly fillIn?: true
}

const TOKEN_TTL = '1h'
/** Past it the plugin logs in again, so it only limits what a stolen token is worth. */
const TOKEN_MAX_TTL = '24h'

const roleAnswer = v.looseObject({
  token_policies: v.nullish(v.array(v.string()), []),
  token_no_default_policy: v.optional(v.boolean(), false),
})
type FoundRole = v.InferOutput<typeof roleAnswer>

/** What every role says about its tokens. */
export function tokenFields(policyName: string): Body {
  return { ...policyFields(policyName), token_ttl: TOKEN_TTL, token_max_ttl: TOKEN_MAX_TTL }
}

export function roleStep({ cli, policyName }: Setup, role: Role): SetupStep {
  const { path, why, bounds, fillIn } = role
  const body = { ...bounds, ...tokenFields(policyName) }
  const step: SetupStep = {
    what: `role ${path}`,
    why,
    commands: [writeCommand(cli, path, body)],
    async look(admin) {
      const found = await readRole(path, admin)
      if (found !== undefined) return judge(found, role, policyName)
      if (fillIn) return { state: 'by hand', detail: 'only you know whom it is for' }
      return { state: 'make', detail: `gives tokens of policy ${policyName}` }
    },
  }
  if (fillIn) return { ...step, fillIn }
  // The life of tokens stays as it is in a role that exists: it is the operator's to choose.
  const apply = async (admin: VaultAdmin, { state }: Finding) => {
    const fields = state === 'make' ? body : { ...bounds, ...policyFields(policyName) }
    await admin.write(path, fields, v.unknown())
  }
  return { ...step, apply }
}

export function policyFields(policyName: string): Body {
  return { token_policies: policyName, token_no_default_policy: true }
}

export function readRole(path: string, admin: VaultAdmin): Promise<FoundRole | undefined> {
  return admin.read(path, roleAnswer)
}

/** How a role that exists fits. */
export function judge(
  found: FoundRole,
  { bounds, fillIn }: Pick<Role, 'bounds' | 'fillIn'>,
  policyName: string,
): Finding {
  const policies = found.token_policies ?? []
  if (policies.length !== 1 || policies[0] !== policyName) {
    const names = policies.length === 0 ? 'no policy' : `policies ${policies.join(', ')}`
    return {
      state: 'refused',
      detail: `it exists, with ${names}: name another, or change it by hand`,
    }
  }
  const other = Object.entries(bounds).find(
    ([name, value]) => !fillIn && differs(found[name], value),
  )
  if (other !== undefined) {
    return {
      state: 'refused',
      detail: `it exists, with another ${other[0]}: name another role, or change it by hand`,
    }
  }
  if (found.token_no_default_policy) return { state: 'ok', detail: '' }
  const detail = 'token_no_default_policy: true, so that tokens have this policy alone'
  return { state: fillIn ? 'by hand' : 'change', detail }
}

/** The service answers some single values as lists. */
function differs(found: unknown, wanted: Body[string]): boolean {
  const list = (value: unknown) => (Array.isArray(value) ? value : [value]).map(String).join()
  return list(found) !== list(wanted)
}
