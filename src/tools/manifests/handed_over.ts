/**
 * Lines for `tmpfiles.d` that let a user other than root read what root wrote. Files and folders of
 * others stay as they are.
 *
 * @module
 */

import { dirname } from 'node:path/posix'
import { keysOf, pathsOf } from '../../config/paths.ts'
import type { Plan } from './plan.ts'

const STATE = '/var/lib'

/** @param user the name or number of the user, and of its group */
export function handedOver({ config, configPath, written }: Plan, user: string | number): string[] {
  const own = dirname(configPath)
  const keys = keysOf(config).flatMap((each) => (each.type === 'local' ? [each.keyFile] : []))
  const { files, folders } = pathsOf(config)
  const inside = [configPath, ...files, ...folders].filter((path) => path.startsWith(`${own}/`))
  const between = new Set(inside.flatMap((path) => parentsOf(path, own)))
  const above = new Set([...written, ...keys].flatMap((path) => parentsOf(path, STATE)))
  return [
    ...[...between].map((path) => `z ${path} 0750 root ${user}\n`),
    // "~" keeps folders, such as those of authorities, accessible.
    ...inside
      .filter((path) => !keys.includes(path))
      .map((path) => `z ${path} ~0750 root ${user}\n`),
    // The plugin takes no key file that another user may read.
    ...keys.map((path) => `z ${path} 0600 ${user} ${user}\n`),
    ...[...above]
      .filter((path) => !written.includes(path))
      .map((path) => `d ${path} 0755 root root\n`),
  ]
}

/** The folders between `top` and `path`, the upper ones first. */
function parentsOf(path: string, top: string): string[] {
  const folder = dirname(path)
  return folder.startsWith(`${top}/`) ? [...parentsOf(folder, top), folder] : []
}
