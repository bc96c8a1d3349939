/** Whose wraps hold what is in etcd. @module */

import { decodeEnvelope } from '../../../src/kms/envelope.ts'
import { readStoredV2 } from '../cluster/stored.ts'
import type { ControlPlane } from './control_plane.ts'

/** Of each Secret in etcd, without those that say the same: providers' ids and key versions, `vault:transit/k8s-etcd 2`. */
export async function wrappedBy(node: Pick<ControlPlane, 'stored'>): Promise<string[]> {
  const all = [...(await node.stored('/registry/secrets/')).values()].map((value) =>
    decodeEnvelope(readStoredV2(value).wrappedSeed)
      .members.map(({ providerId, version }) => `${providerId} ${version}`)
      .join(' and '),
  )
  return [...new Set(all)]
}
