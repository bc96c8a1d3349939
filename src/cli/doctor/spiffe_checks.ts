/** The agent on this node that issues JWT-SVIDs, where a provider logs in with them. @module */

import { stat } from 'node:fs/promises'
import { socketPathOf } from '../../auth/jwt_svid.ts'
import type { Config } from '../../config/schema.ts'
import { systemCodeOf } from '../../kms/errors.ts'
import { type Finding, found } from './finding.ts'

type Provider = Config['providers'][number]

export async function spiffeFindings({ providers }: Config): Promise<Finding[]> {
  const all = await Promise.all(
    providers.map((provider) => {
      const path = workloadSocketOf(provider)
      return path === undefined ? [] : agentFindings(provider.name, path)
    }),
  )
  return all.flat()
}

function workloadSocketOf(provider: Provider): string | undefined {
  if (provider.type !== 'vault' || provider.auth.method !== 'jwt') return undefined
  const { spiffe } = provider.auth
  return spiffe && socketPathOf(spiffe.socket)
}

async function agentFindings(name: string, path: string): Promise<Finding[]> {
  const missing = await whyMissing(path)
  return [
    ...found(missing !== undefined, {
      id: 'spiffe-socket',
      level: 'error',
      what: `Provider "${name}": ${path} ${missing}`,
      why: 'It logs in with what the SPIFFE agent of this node issues over that socket.',
      todo: 'Start the agent, or correct auth.spiffe.socket; in a pod, mount the folder of the socket.',
    }),
    {
      id: 'boot-spiffe-agent',
      level: 'notice',
      what: `Provider "${name}" logs in with a SPIFFE agent`,
      why: 'At a cold boot the agent and its SPIFFE server must run before kube-apiserver does. One that runs as a pod of this cluster may not: then neither starts without the other.',
      todo: 'Run the agent as a service of the node, with a server outside this cluster: docs/logins/cold-boot.md.',
    },
  ]
}

async function whyMissing(path: string): Promise<string | undefined> {
  try {
    return (await stat(path)).isSocket() ? undefined : 'is no socket'
  } catch (error) {
    return `is not there (${systemCodeOf(error) ?? 'unknown error'})`
  }
}
