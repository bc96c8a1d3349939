/** Files that a config names, where a Secret brings them instead of whoever prepares the node. @module */

import { pathsOf } from '../../config/paths.ts'
import { isGiven, type Plan } from './plan.ts'

export interface Credential {
  /** In the Secret. */
  readonly key: string
  /** Where the config names it. */
  readonly path: string
}

/** The Secret that has all of them. */
export const CREDENTIALS_SECRET = 'trousseau-credentials'

/** Without the files that a pod or a unit is given anyway. */
export function credentialsOf({ config }: Plan): Credential[] {
  return pathsOf(config)
    .files.filter((path) => !isGiven(path))
    .map((path) => ({ path, key: keyOf(path) }))
}

/** A key has letters, digits and a few signs; two folders may each have a file of one name. */
function keyOf(path: string): string {
  return path.slice(1).replaceAll(/[^\w.-]/g, '.')
}

/** Arguments of `kubectl create secret generic`. */
export function fromFiles(credentials: readonly Credential[]): string[] {
  return credentials.map(({ key, path }) => `--from-file=${key}=${path}`)
}
