/** What kube-apiserver sees of a signer of ServiceAccount tokens when it starts. Nothing is signed for it. @module */

import { type Failure, failureOf } from '../../console/output.ts'
import { RpcError } from '../../grpc/client.ts'
import { reach } from '../../grpc/reach.ts'
import { connectSigner } from '../../grpc/signer_client.ts'
import type { SignerReport } from './signer_report.ts'

interface Asked {
  readonly socketPath: string
  readonly timeoutMs: number
}

/** @throws KmsError when nobody listens */
export async function signerReport({ socketPath, timeoutMs }: Asked): Promise<SignerReport> {
  await reach(socketPath, timeoutMs)
  const client = connectSigner(socketPath, { timeoutMs })
  try {
    const { maxTokenExpirationSeconds } = await client.metadata()
    const { keys, dataTimestamp, refreshHintSeconds } = await client.fetchKeys()
    return {
      socket: socketPath,
      healthy: true,
      keys: keys.map(({ keyId, excludeFromOidcDiscovery }) => ({
        kid: keyId,
        inDiscovery: !excludeFromOidcDiscovery,
      })),
      readAt: new Date(Number(dataTimestamp?.seconds ?? 0n) * 1_000).toISOString(),
      refreshSeconds: Number(refreshHintSeconds),
      maxTokenSeconds: Number(maxTokenExpirationSeconds),
    }
  } catch (error) {
    return { socket: socketPath, healthy: false, error: saidBy(error) }
  } finally {
    client.close()
  }
}

function saidBy(error: unknown): Failure {
  if (error instanceof RpcError) return failureOf(error)
  return { code: 'INTERNAL', message: 'The answer is not a message of this API' }
}
