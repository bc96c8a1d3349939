/** Values for the Helm chart, which makes the objects of the DaemonSet. @module */

import type { Plan } from './plan.ts'
import { comment, type ManifestFile, quoted } from './text.ts'

export function helmValues(plan: Plan): ManifestFile[] {
  const list = (paths: readonly string[]) =>
    paths.length === 0 ? ' []' : paths.map((path) => `\n  - ${quoted(path)}`).join('')
  const admin =
    plan.admin === undefined
      ? 'admin: null                            # the probe asks the socket'
      : `admin: { host: ${quoted(plan.admin.host)}, port: ${plan.admin.port} }`
  const text = `${comment(`helm install trousseau deploy/chart --namespace ${plan.namespace} --values values.yaml`)}
image: ${quoted(plan.image)}
configPath: ${quoted(plan.configPath)}
user: ${plan.user}
# Folders of the node: the first one holds the socket.
written:${list(plan.written)}
read:${list(plan.read)}
socket: ${quoted(plan.socketPath)}
${admin}
# The login method kubernetes: a token of the ServiceAccount, and the right to have it reviewed.
serviceAccountToken: ${plan.serviceAccount}
${plan.selinuxType === undefined ? '' : `selinuxType: ${quoted(plan.selinuxType)}   # docs/selinux.md\n`}`
  return [{ path: 'values.yaml', text }]
}
