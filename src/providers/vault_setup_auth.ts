/** What each login method needs at the key service and on the nodes. @module */

import * as v from 'valibot'
import type { SvidConfig } from '../auth/jwt_svid.ts'
import { approleSteps } from './vault_setup_approle.ts'
import type { CertAuth, JwtAuth, KubernetesAuth, Setup } from './vault_setup_input.ts'
import { mountStep } from './vault_setup_mount.ts'
import { roleStep } from './vault_setup_role.ts'
import { tokenSteps, userpassSteps } from './vault_setup_secret.ts'
import { commandLine, word, writeCommand } from './vault_setup_shell.ts'
import type { SetupStep } from './vault_setup_step.ts'

export function authSteps(setup: Setup): readonly SetupStep[] {
  const { auth } = setup.input
  switch (auth.method) {
    case 'approle':
      return approleSteps(setup, auth)
    case 'kubernetes':
      return kubernetesSteps(setup, auth)
    case 'jwt':
      return jwtSteps(setup, auth)
    case 'cert':
      return certSteps(setup, auth)
    case 'userpass':
      return userpassSteps(setup, auth)
    case 'token':
      return tokenSteps(setup, auth)
    case 'agent':
      return [agentStep(setup)]
  }
}

function kubernetesSteps(setup: Setup, { mount, tokenFile }: KubernetesAuth): SetupStep[] {
  const { cli, role } = setup
  const config = writeCommand(cli, `auth/${mount}/config`, {
    kubernetes_host: '<https://host:6443 of the kube-apiserver that checks the tokens>',
    kubernetes_ca_cert: '@<its ca.crt>',
    token_reviewer_jwt: '<token of a service account with system:auth-delegator>',
  })
  return [
    mountStep(setup, { kind: 'auth', path: mount, type: 'kubernetes' }),
    configStep(
      `auth/${mount}/config`,
      [
        'The key service asks this kube-apiserver about every token. Where that is the one that waits for the plugin,',
        'nobody logs in after a cold start: let it be another cluster, or use another method.',
      ],
      [config],
    ),
    roleStep(setup, {
      path: `auth/${mount}/role/${role}`,
      why: ['Whose tokens are let in.', `Each node has such a token in ${tokenFile}.`],
      bounds: {
        bound_service_account_names: '<service account>',
        bound_service_account_namespaces: '<its namespace>',
        audience: '<audience of the token>',
      },
      fillIn: true,
    }),
  ]
}

function jwtSteps(setup: Setup, auth: JwtAuth): SetupStep[] {
  const { cli, role, input } = setup
  const { mount, selfSigned, spiffe, tokenFile = '' } = auth
  const path = `auth/${mount}/config`
  const common = { role_type: 'jwt', user_claim: 'sub' }
  const mounted = mountStep(setup, { kind: 'auth', path: mount, type: 'jwt' })
  if (spiffe !== undefined) return [mounted, ...spiffeSteps(setup, mount, spiffe)]
  if (selfSigned === undefined) {
    const keys = { jwt_validation_pubkeys: '@<public key of the issuer.pem>' }
    return [
      mounted,
      configStep(
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
  const { keyFile, audience, subject } = selfSigned
  const publicKey = `${input.name}-public-key.pem`
  return [
    mounted,
    configStep(
      path,
      [
        'Whose signatures count: the public keys of all nodes, for the list is replaced as a whole.',
        'The first command runs on each node, whose private key stays there; the second here.',
      ],
      [
        `${commandLine(['openssl', 'pkey', '-in', keyFile, '-pubout'])} > ${word(publicKey)}`,
        writeCommand(cli, path, { jwt_validation_pubkeys: `@<${publicKey} of each node>` }),
      ],
    ),
    roleStep(setup, {
      path: `auth/${mount}/role/${role}`,
      why: ['Whose tokens are let in: a role for each subject. A node signs its own with its key.'],
      bounds: { ...common, bound_audiences: audience, bound_subject: subject },
    }),
  ]
}

function spiffeSteps(
  setup: Setup,
  mount: string,
  { socket, audience, id }: SvidConfig,
): SetupStep[] {
  const path = `auth/${mount}/config`
  const keys = {
    jwks_url: '<https://... of the keys of the trust domain>',
    jwks_ca_pem: '@<authority of that address.pem>',
  }
  const role = {
    path: `auth/${mount}/role/${setup.role}`,
    why: [
      'Whose SVIDs are let in: a role for each SPIFFE ID.',
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

function certSteps(setup: Setup, { mount }: CertAuth): SetupStep[] {
  return [
    mountStep(setup, { kind: 'auth', path: mount, type: 'cert' }),
    roleStep(setup, {
      path: `auth/${mount}/certs/${setup.role}`,
      why: [
        'Whose certificates are let in. Without a bound on names, every certificate of the authority is.',
        'TLS must end at the key service itself.',
      ],
      bounds: {
        certificate: '@<authority of the client certificates.pem>',
        allowed_common_names: '<common name of the certificates>',
      },
      fillIn: true,
    }),
  ]
}

function agentStep({ policyName }: Setup): SetupStep {
  const detail = `the role that the agent on each node logs in to gives policy ${policyName}`
  return {
    what: 'login of the agent',
    why: [
      `The agent logs in for the plugin. Give the role that it uses the policy ${policyName} and no other,`,
      'and set its api_proxy to use_auto_auth_token = true.',
    ],
    commands: [],
    fillIn: true,
    look: () => Promise.resolve({ state: 'by hand', detail }),
  }
}

/** Where the method learns whom to trust, which nobody but the operator can tell. */
function configStep(path: string, why: readonly string[], commands: readonly string[]): SetupStep {
  return {
    what: path,
    why,
    commands,
    fillIn: true,
    async look(admin) {
      const found = await admin.read(path, v.unknown())
      if (found === undefined) return { state: 'by hand', detail: 'only you know whom to trust' }
      return { state: 'ok', detail: 'is set; see whether it is as below' }
    },
  }
}
