/** The audit stream that a config asks for (docs/audit.md). Loaded only where it does. @module */

import { AuditFile } from './file_target.ts'
import { AuditStdout } from './stdout_target.ts'
import { AuditStream, type AuditStreamOptions } from './stream.ts'

interface AuditSettings {
  /** An absolute path, or `stdout`. */
  readonly to: string
  readonly maxBytes: number
  readonly maxTotalBytes: number
}

export function createAudit(
  { to, maxBytes, maxTotalBytes }: AuditSettings,
  options: Omit<AuditStreamOptions, 'target' | 'maxBytes'>,
): AuditStream {
  const { now } = options.clock
  const target =
    to === 'stdout' ? new AuditStdout() : new AuditFile({ path: to, maxTotalBytes, now })
  return new AuditStream({ ...options, target, maxBytes })
}
