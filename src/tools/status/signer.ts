/** What kube-apiserver sees of a signer of ServiceAccount tokens when it starts. Nothing is signed for it. @module */

import type { Io } from '../../console/io.ts'
import { type Failure, failureOf, paint, printable, table } from '../../console/output.ts'
import { RpcError } from '../../grpc/client.ts'
import { reach } from '../../grpc/reach.ts'
import { connectSigner } from '../../grpc/signer_client.ts'

interface Answering {
  readonly socket: string
  readonly healthy: true
  /** The names of the keys that are published, and whether discovery shows them. */
  readonly keys: readonly { readonly kid: string; readonly inDiscovery: boolean }[]
  /** When they were read where they are kept. */
  readonly readAt: string
  readonly refreshSeconds: number
  readonly maxTokenSeconds: number
}

interface Failing {
  readonly socket: string
  readonly healthy: false
  readonly error: Failure
}

export type SignerReport = Answering | Failing

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

/** For people. */
export function readableSigner(report: SignerReport, io: Io): string {
  const health = report.healthy
    ? [paint(io, 'green', 'ok')]
    : [paint(io, 'red', printable(report.error.message))]
  const answers = report.healthy
    ? [
        ['keys', report.keys.map(shown).join(', ')],
        ['read at', report.readAt],
        ['fetched each', `${report.refreshSeconds} s`],
        ['token life', `at most ${report.maxTokenSeconds} s`],
      ]
    : []
  return `${table([['signer socket', report.socket], ['health', ...health], ...answers])
    .map((row) => row.join('  '))
    .join('\n')}\n`
}

function shown({ kid, inDiscovery }: Answering['keys'][number]): string {
  return inDiscovery ? printable(kid) : `${printable(kid)} (not in discovery)`
}

function saidBy(error: unknown): Failure {
  if (error instanceof RpcError) return failureOf(error)
  return { code: 'INTERNAL', message: 'The answer is not a message of this API' }
}
