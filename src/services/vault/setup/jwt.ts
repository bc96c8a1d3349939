/** JWT: whose signatures are accepted, and one role for all nodes. @module */

import type { Buffer } from 'node:buffer'
import { createPublicKey, type KeyObject } from 'node:crypto'
import * as v from 'valibot'
import { commandLine, word } from '../../../base/shell.ts'
import { readLoginKey } from '../../../remote/assertion.ts'
import type { SvidConfig } from '../../../remote/jwt_svid.ts'
import type { VaultAuthBy } from '../login/auth.ts'
import type { VaultAdmin } from './admin.ts'
import { placeOf } from './files.ts'
import type { Setup } from './input.ts'
import { mountStep } from './mount.ts'
import { type FoundRole, roleStep } from './role.ts'
import { writeCommand } from './shell.ts'
import type { SetupStep, StepFinding } from './step.ts'
import { configStep } from './trust.ts'

type JwtAuth = VaultAuthBy<'jwt'>
type SelfSigned = NonNullable<JwtAuth['selfSigned']>

export function jwtSteps(auth: JwtAuth, setup: Setup): SetupStep[] {
  const { cli, role, input } = setup
  const { mount, selfSigned, spiffe, tokenFile = '' } = auth
  const path = `auth/${mount}/config`
  const common = { role_type: 'jwt', user_claim: 'sub' }
  const byDefault = defaultRole(setup, auth)
  const mounted = mountStep(setup, { kind: 'auth', path: mount, type: 'jwt' })
  if (spiffe !== undefined) return [mounted, ...spiffeSteps(setup, auth, spiffe)]
  if (selfSigned === undefined) {
    const keys = { jwt_validation_pubkeys: '@<public key of the issuer.pem>', ...byDefault }
    return [
      mounted,
      configStep(
        setup,
        path,
        [
          'Whose signatures count. Keys in a file need no network; oidc_discovery_url=<...> or jwks_url=<...> ask the',
          'issuer, who must then answer while the cluster is down.',
        ],
        [writeCommand(cli, path, keys)],
      ),
      roleStep(setup, {
        path: `auth/${mount}/role/${role}`,
        why: ['Whose tokens are let in.', `Each node has such a token in ${tokenFile}.`],
        bounds: {
          ...common,
          bound_audiences: '<aud of the token>',
          bound_subject: '<sub of the token>',
        },
        fillIn: true,
      }),
    ]
  }
  const { audience, subject } = selfSigned
  const publicKey = `${input.name}-public-key.pem`
  const keys = configStep(
    setup,
    path,
    [
      'Whose signatures count: the public keys of all nodes. `trousseau login-key create`, on each node, prints what adds its',
      'key (with --existing for one that is there). Or all at once: the first command on each node, whose private key stays',
      'there; then the second here, with jwt_validation_pubkeys=@... once for each, since the list is replaced as a whole.',
    ],
    [
      `${commandLine(printing(selfSigned))} > ${word(publicKey)}`,
      writeCommand(cli, path, {
        jwt_validation_pubkeys: `@<${publicKey} of each node>`,
        ...byDefault,
      }),
    ],
  )
  return [
    mounted,
    { ...keys, look: async (admin) => await lookAtKeys(keys, path, selfSigned, admin) },
    roleStep(setup, {
      path: `auth/${mount}/role/${role}`,
      why: [
        'Whose tokens are let in: one role for all nodes. A node signs its own with its key, and whoever has a key of the',
        'list may sign for any of them: it is the list that lets nodes in.',
      ],
      bounds: { ...common, bound_audiences: audience },
      mayBind: { bound_subject: ['', subject] },
      shutOutBy: (found) => shutOutBy(found, selfSigned),
    }),
  ]
}

function keyFileOf({ keyFile, tpm }: SelfSigned): string {
  return tpm?.keyFile ?? keyFile ?? ''
}

/** The command that prints the public half. */
function printing(selfSigned: SelfSigned): string[] {
  const path = keyFileOf(selfSigned)
  return selfSigned.tpm === undefined
    ? ['openssl', 'pkey', '-in', path, '-pubout']
    : ['trousseau', 'login-key', 'public', path]
}

/** Where the config names no role, the service uses the default of the mount. */
function defaultRole({ role }: Setup, auth: JwtAuth) {
  return auth.role === undefined ? { default_role: role } : {}
}

const jwtBounds = v.object({
  bound_subject: v.fallback(v.string(), ''),
  bound_claims: v.fallback(v.record(v.string(), v.unknown()), {}),
  bound_claims_type: v.fallback(v.string(), 'string'),
})

/**
 * A role that is bound to this node works for it, but several nodes need a role without that bound.
 */
function shutOutBy(role: FoundRole, { subject, claims }: SelfSigned): string | undefined {
  const { bound_subject, bound_claims, bound_claims_type } = v.parse(jwtBounds, role)
  if (!['', subject].includes(bound_subject)) return 'bound_subject'
  const own: Readonly<Record<string, unknown>> = { ...claims, sub: subject }
  const met = Object.entries(bound_claims).every(
    ([name, wanted]) => bound_claims_type !== 'string' || [wanted].flat().includes(own[name]),
  )
  return met ? undefined : 'bound_claims'
}

const keyList = v.object({ jwt_validation_pubkeys: v.nullish(v.array(v.string()), []) })

async function lookAtKeys(
  step: SetupStep,
  path: string,
  selfSigned: SelfSigned,
  admin: VaultAdmin,
): Promise<StepFinding> {
  const keyFile = keyFileOf(selfSigned)
  const found = await admin.read(path, keyList)
  if (found === undefined || (await placeOf(keyFile)) !== 'taken') return await step.look(admin)
  const { publicKey } = await readLoginKey(keyFile)
  const known = found.jwt_validation_pubkeys ?? []
  const own = derOf(publicKey)
  const has = known.some((pem) => isOf(own, pem))
  const detail = `public keys: ${known.length}, ${has ? 'that of this node among them' : 'none of them of this node'}`
  return { state: has ? 'ok' : 'by hand', detail }
}

function spiffeSteps(
  setup: Setup,
  auth: JwtAuth,
  { socket, audience, id }: SvidConfig,
): SetupStep[] {
  const { mount } = auth
  const path = `auth/${mount}/config`
  const keys = {
    jwks_url: '<https://... of the keys of the trust domain>',
    jwks_ca_pem: '@<authority of that address.pem>',
    ...defaultRole(setup, auth),
  }
  const role = {
    path: `auth/${mount}/role/${setup.role}`,
    why: [
      'Whose SVIDs are let in: a role for each SPIFFE ID, which all nodes may share.',
      `An agent on each node issues them, at ${socket}.`,
    ],
    bounds: {
      role_type: 'jwt',
      user_claim: 'sub',
      bound_audiences: audience,
      bound_subject: id ?? '<SPIFFE ID of the node>',
    },
  }
  return [
    configStep(
      setup,
      path,
      [
        'Whose signatures count: the keys of the trust domain. A SPIFFE server changes them every day or so, therefore an',
        'address, such as that of its OIDC discovery provider, which must answer while the cluster is down.',
      ],
      [writeCommand(setup.cli, path, keys)],
    ),
    roleStep(setup, id === undefined ? { ...role, fillIn: true } : role),
  ]
}

/**
 * Compared as bytes, because comparing keys of two types leaves an error in OpenSSL that the next
 * call throws.
 */
function derOf(publicKey: KeyObject): Buffer {
  return publicKey.export({ type: 'spki', format: 'der' })
}

/** @param pem an entry of a list that may also contain certificates */
function isOf(own: Buffer, pem: string): boolean {
  try {
    return derOf(createPublicKey(pem)).equals(own)
  } catch {
    return false
  }
}
