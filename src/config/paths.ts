/** Every path of the node that a config names, with what the plugin does there. @module */

import { dirname } from 'node:path/posix'
import type { Paths } from '../services/provider_descriptor.ts'
import { descriptorOf } from '../services/registry.ts'
import { endpointsOf } from './endpoints.ts'
import type { Config } from './schema.ts'

interface ConfigPaths extends Paths {
  /** Sockets that the plugin listens on, those of the API servers first. */
  readonly listens: readonly string[]
  /** Files that may be absent, and that the plugin looks at again and again. */
  readonly looked: readonly string[]
  /** Folders that the plugin writes to: those of its sockets, and `stateDir`. */
  readonly written: readonly string[]
}

export function pathsOf(config: Config): ConfigPaths {
  const { recovery, policy, stateDir, admin } = config
  const all = config.providers.map((provider) => descriptorOf(provider).paths(provider))
  const endpoints = endpointsOf(config).map(({ socket }) => socket.path)
  const page = admin !== undefined && 'path' in admin.listen ? [admin.listen.path] : []
  return {
    files: unique([
      ...all.flatMap(({ files }) => files),
      ...(recovery?.recipients ?? []),
      ...policyFiles(policy),
    ]),
    folders: unique(all.flatMap(({ folders }) => folders)),
    sockets: unique(all.flatMap(({ sockets }) => sockets)),
    listens: [...endpoints, ...page],
    looked: unique([...Object.values(policy?.files ?? {}), policy?.waiver?.file ?? []].flat()),
    written: unique([
      ...endpoints.map((path) => dirname(path)),
      ...(stateDir === undefined ? [] : [stateDir]),
      ...page.map((path) => dirname(path)),
    ]),
  }
}

/** A waiver is put in when it is needed, and the files of `policy.files` are facts where they are absent too. */
function policyFiles(policy: Config['policy']): string[] {
  const named = [policy?.opa?.tokenFile, policy?.opa?.tls.caFile, policy?.opa?.tls.certFile]
  return [
    ...[...named, policy?.opa?.tls.keyFile, policy?.encryptionConfig].flatMap((path) => path ?? []),
    ...(policy?.waiver?.keyFiles ?? []),
  ]
}

function unique(paths: readonly string[]): string[] {
  return [...new Set(paths)]
}
