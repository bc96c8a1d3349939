/** What is told of a signer, for people and for scripts. @module */

import type { Io } from '../../console/io.ts'
import { type Failure, paint, printable, table } from '../../console/output.ts'

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
