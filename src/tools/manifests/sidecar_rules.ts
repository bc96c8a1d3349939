/** What a config may not ask for where the plugin runs in a pod of the API server's. @module */

import { dirname } from 'node:path/posix'
import { keysOf, pathsOf } from '../../config/paths.ts'
import { CREDENTIALS, type Plan } from './plan.ts'

/** One line for each thing that is a node's, and of which that pod has none. */
export function sidecarProblems(plan: Plan): string[] {
  const { config, user, written } = plan
  const { files, folders, sockets, devices, looked } = pathsOf(config)
  const needs = (paths: readonly string[], what: string) => paths.map((path) => `${path}: ${what}`)
  return [
    ...needs(devices, 'a login key in the TPM belongs to a node: wanted another login'),
    ...needs(sockets, 'no agent of a node is within reach: wanted a login without one'),
    ...needs(folders, 'a Secret has files and no folders: wanted tls.caFile instead of tls.caDir'),
    ...needs(looked, 'a file of the node, which a pod does not see: wanted a policy without it'),
    ...needs(
      files.filter((path) => path.startsWith(CREDENTIALS)),
      'only systemd puts credentials there: wanted a path such as /etc/trousseau/secret-id',
    ),
    ...needs(
      keysOf(config).flatMap((each) => (each.type === 'local' && user !== 0 ? [each.keyFile] : [])),
      'files of a Secret belong to root, and the plugin wants a key file of its own: wanted --user 0',
    ),
    ...needs(
      [plan.configPath, ...files].filter((path) =>
        written.some(
          (folder) => folder === dirname(path) || folder.startsWith(`${dirname(path)}/`),
        ),
      ),
      'lies where the plugin writes, or above that: wanted a folder of its own',
    ),
  ]
}
