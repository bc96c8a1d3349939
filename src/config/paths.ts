/** Every path of the node that a config names, with what the plugin does there. @module */

import { dirname } from 'node:path/posix'
import type { Paths } from '../services/provider_descriptor.ts'
import { descriptorOf } from '../services/registry.ts'
import { endpointsOf } from './endpoints.ts'
import type { Config } from './schema.ts'

interface ConfigPaths extends Required<Paths> {
  /** Sockets that the plugin listens on, those of the API servers first. */
  readonly listens: readonly string[]
  /** Folders that the plugin writes to: those of its sockets, and `stateDir`. */
  readonly written: readonly string[]
}

export function pathsOf(config: Config): ConfigPaths {
  const { recovery, stateDir, admin, probes } = config
  const all = config.providers.map((provider) => descriptorOf(provider).paths(provider))
  const endpoints = endpointsOf(config).map(({ socket }) => socket.path)
  const pages = [admin, probes].flatMap((each) =>
    each !== undefined && 'path' in each.listen ? [each.listen.path] : [],
  )
  return {
    files: unique([...all.flatMap(({ files }) => files), ...(recovery?.recipients ?? [])]),
    folders: unique(all.flatMap(({ folders }) => folders)),
    sockets: unique(all.flatMap(({ sockets }) => sockets)),
    devices: unique(all.flatMap(({ devices = [] }) => devices)),
    listens: [...endpoints, ...pages],
    written: unique([
      ...endpoints.map((path) => dirname(path)),
      ...(stateDir === undefined ? [] : [stateDir]),
      ...pages.map((path) => dirname(path)),
    ]),
  }
}

function unique(paths: readonly string[]): string[] {
  return [...new Set(paths)]
}
