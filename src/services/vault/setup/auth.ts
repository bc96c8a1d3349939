/** What each login method needs at the key service and on the nodes. @module */

import { type ByMethod, byMethod } from '../../../base/by_method.ts'
import type { VaultAuth, VaultAuthBy } from '../login/auth.ts'
import { approleSteps } from './approle.ts'
import type { Setup } from './input.ts'
import { jwtSteps } from './jwt.ts'
import { mountStep } from './mount.ts'
import { roleStep } from './role.ts'
import { tokenSteps, userpassSteps } from './secret.ts'
import { writeCommand } from './shell.ts'
import type { SetupStep } from './step.ts'
import { configStep } from './trust.ts'

const STEPS: ByMethod<VaultAuth, Setup, readonly SetupStep[]> = {
  approle: approleSteps,
  kubernetes: kubernetesSteps,
  jwt: jwtSteps,
  cert: certSteps,
  userpass: userpassSteps,
  token: tokenSteps,
  agent: (_, setup) => [agentStep(setup)],
}

export function authSteps(setup: Setup): readonly SetupStep[] {
  return byMethod(STEPS, setup.input.auth, setup)
}

function kubernetesSteps(
  { mount, tokenFile }: VaultAuthBy<'kubernetes'>,
  setup: Setup,
): SetupStep[] {
  const { cli, role } = setup
  const config = writeCommand(cli, `auth/${mount}/config`, {
    kubernetes_host: '<https://host:6443 of the kube-apiserver that checks the tokens>',
    kubernetes_ca_cert: '@<its ca.crt>',
    token_reviewer_jwt: '<token of a service account with system:auth-delegator>',
  })
  return [
    mountStep(setup, { kind: 'auth', path: mount, type: 'kubernetes' }),
    configStep(
      setup,
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

function certSteps({ mount }: VaultAuthBy<'cert'>, setup: Setup): SetupStep[] {
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
