/** The checks of OpenShift's operators, done by a client in Go. @module */

import * as v from 'valibot'
import { reportOf } from '../go/program.ts'

const report = v.object({
  ok: v.boolean(),
  error: v.optional(v.string()),
  notReady: v.array(v.string()),
  keyId: v.string(),
  health: v.string(),
  detail: v.string(),
})
type Report = v.InferOutput<typeof report>

/** Decides whether a configuration is taken: Status until ok within 30 s, Encrypt, Decrypt. */
export async function preflight(socketPath: string): Promise<Report> {
  return v.parse(report, await reportOf('openshift_checks', ['-socket', socketPath]))
}

/** What an administrator is shown of the plugin, every 30 s. */
export async function healthReport(socketPath: string): Promise<Report> {
  const args = ['-socket', socketPath, '-mode', 'health']
  return v.parse(report, await reportOf('openshift_checks', args))
}
