/**
 * The role that gives the plugin its tokens, whatever the login method calls it: a role, a
 * certificate or a user.
 *
 * @module
 */

import * as v from 'valibot'
import type { Body, VaultAdmin } from './admin.ts'
import type { Setup } from './input.ts'
import type { Need } from './rights.ts'
import { guardRole, writeCommand } from './shell.ts'
import type { SetupStep, StepFinding } from './step.ts'

interface Role {
  readonly path: string
  readonly why: readonly string[]
  /** Who can log in; a role with other bounds belongs to somebody else. */
  readonly bounds: Body
  /** Further bounds that an existing role may have, each with the values that are accepted. */
  readonly mayBind?: Readonly<Record<string, readonly string[]>>
  /** Which further bound of an existing role shuts this node out. */
  readonly shutOutBy?: (found: FoundRole) => string | undefined
  /** The bounds contain `<...>`, which somebody has to fill in. */
  readonly fillIn?: true
}

const TOKEN_TTL = '1h'
/** After this time the plugin logs in again, so it only limits what a stolen token is worth. */
const TOKEN_MAX_TTL = '24h'

const count = v.fallback(v.number(), 0)
const roleAnswer = v.looseObject({
  token_policies: v.nullish(v.array(v.string()), []),
  token_no_default_policy: v.optional(v.boolean(), false),
  token_num_uses: count,
  // Only AppRole has this field.
  bind_secret_id: v.fallback(v.boolean(), true),
  secret_id_num_uses: count,
  secret_id_ttl: count,
})
export type FoundRole = v.InferOutput<typeof roleAnswer>

/** The fields that every role has about its tokens. */
export function tokenFields(policyName: string): Body {
  return { ...policyFields(policyName), token_ttl: TOKEN_TTL, token_max_ttl: TOKEN_MAX_TTL }
}

export function roleStep({ cli, policyName }: Setup, role: Role): SetupStep {
  const { path, why, bounds, fillIn } = role
  const body = { ...bounds, ...tokenFields(policyName) }
  const step: SetupStep = {
    what: `role ${path}`,
    why,
    guard: [guardRole(cli, path, guardedFields(role, policyName))],
    commands: [writeCommand(cli, path, body)],
    async look(admin) {
      const found = await readRole(path, admin)
      if (found !== undefined) return judge(found, role, policyName)
      if (fillIn) return { state: 'by hand', detail: 'only you know whom it is for' }
      return { state: 'make', detail: `gives tokens of policy ${policyName}` }
    },
  }
  if (fillIn) return { ...step, fillIn }
  // In an existing role the life of tokens stays as it is, since the operator chooses it.
  const apply = async (admin: VaultAdmin, { state }: StepFinding) => {
    const fields = state === 'make' ? body : { ...bounds, ...mendedFields(policyName) }
    await admin.write(path, fields, v.unknown())
  }
  return { ...step, apply, needs: (finding) => [roleNeed(path, finding)] }
}

function guardedFields({ bounds, mayBind, fillIn }: Role, policyName: string) {
  const own = Object.entries(fillIn ? {} : bounds).map(([name, value]) => [name, [String(value)]])
  return { token_policies: [policyName], ...Object.fromEntries(own), ...mayBind }
}

function policyFields(policyName: string): Body {
  return { token_policies: policyName, token_no_default_policy: true }
}

/** The fields that are changed in an existing role. */
export function mendedFields(policyName: string): Body {
  return { ...policyFields(policyName), token_num_uses: 0 }
}

/** The service needs different rights to make a role and to change one. */
export function roleNeed(path: string, { state }: StepFinding): Need {
  return { path, capability: state === 'make' ? 'create' : 'update' }
}

export function readRole(path: string, admin: VaultAdmin): Promise<FoundRole | undefined> {
  return admin.read(path, roleAnswer)
}

/** Judges whether an existing role fits. */
export function judge(
  found: FoundRole,
  { bounds, fillIn, shutOutBy }: Pick<Role, 'bounds' | 'fillIn' | 'shutOutBy'>,
  policyName: string,
): StepFinding {
  const policies = found.token_policies ?? []
  if (policies.length !== 1 || policies[0] !== policyName) {
    const names = policies.length === 0 ? 'no policy' : `policies ${policies.join(', ')}`
    return {
      state: 'refused',
      detail: `it exists, with ${names}: name another, or change it by hand`,
    }
  }
  const [other] =
    Object.entries(bounds).find(([name, value]) => !fillIn && differs(found[name], value)) ?? []
  const bound = other ?? shutOutBy?.(found)
  if (bound !== undefined) {
    return {
      state: 'refused',
      detail: `it exists, with another ${bound}: name another role, or change it by hand`,
    }
  }
  const wanted = changesOf(found)
  const detail = [...wanted, ...risksOf(found)].join('; ')
  if (wanted.length === 0) return { state: 'ok', detail }
  return { state: fillIn ? 'by hand' : 'change', detail }
}

function changesOf({ token_no_default_policy, token_num_uses }: FoundRole): string[] {
  const wanted: string[] = []
  if (!token_no_default_policy) {
    wanted.push('token_no_default_policy: true, so that tokens have this policy alone')
  }
  if (token_num_uses > 0) {
    wanted.push(`token_num_uses: 0, since tokens for ${token_num_uses} uses are refused`)
  }
  return wanted
}

/** What will end the logins of a node one day, which only the operator may change. */
function risksOf({ secret_id_num_uses, secret_id_ttl }: FoundRole): string[] {
  const risks: string[] = []
  if (secret_id_num_uses > 0) {
    risks.push(
      `but a secret id is for ${secret_id_num_uses} logins (secret_id_num_uses), and every restart takes one`,
    )
  }
  if (secret_id_ttl > 0) {
    risks.push(`but a secret id ends after ${secret_id_ttl} s (secret_id_ttl): no login works then`)
  }
  return risks
}

/** The service answers some single values as lists. */
function differs(found: unknown, wanted: Body[string]): boolean {
  const list = (value: unknown) => (Array.isArray(value) ? value : [value]).map(String).join()
  return list(found) !== list(wanted)
}
