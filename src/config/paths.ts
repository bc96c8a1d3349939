/** Every path of the node that a config names, with what the plugin does there. @module */

import { dirname } from 'node:path/posix'
import { unixPathOf } from '../base/socket_path.ts'
import type { Paths } from '../services/provider_descriptor.ts'
import { descriptorOf } from '../services/registry.ts'
import { endpointsOf } from './endpoints.ts'
import type { Config } from './schema.ts'

interface ConfigPaths extends Required<Paths> {
  /** Sockets that the plugin listens on, those of the API servers first. */
  readonly listens: readonly string[]
  /** Files that may be absent, and that the plugin looks at again and again. */
  readonly looked: readonly string[]
  /** Folders that the plugin writes to: those of its sockets and of the audit file, and `stateDir`. */
  readonly written: readonly string[]
}

export function pathsOf(config: Config): ConfigPaths {
  const { recovery, policy, traces, audit, stateDir, admin, probes, signer } = config
  const all = keysOf(config).map((key) => descriptorOf(key).paths(key))
  const endpoints = [
    ...endpointsOf(config).map(({ socket }) => socket.path),
    ...(signer === undefined ? [] : [signer.socket.path]),
  ]
  const pages = [admin, probes].flatMap((each) =>
    each !== undefined && 'path' in each.listen ? [each.listen.path] : [],
  )
  return {
    files: unique([
      ...all.flatMap(({ files }) => files),
      ...(recovery?.recipients ?? []),
      ...askedFiles(policy?.opa),
      ...policyFiles(policy),
      ...askedFiles(traces),
      ...(audit?.signingKeyFile === undefined ? [] : [audit.signingKeyFile]),
      ...(signer?.legacyKeys ?? []).map(({ file }) => file),
    ]),
    folders: unique(
      [
        ...all.flatMap(({ folders }) => folders),
        policy?.opa?.tls.caDir ?? [],
        traces?.tls.caDir ?? [],
      ].flat(),
    ),
    sockets: unique([
      ...all.flatMap(({ sockets }) => sockets),
      ...socketsOf(policy?.opa?.address, traces?.endpoint),
    ]),
    devices: unique(all.flatMap(({ devices = [] }) => devices)),
    listens: [...endpoints, ...pages],
    looked: unique([...Object.values(policy?.files ?? {}), policy?.waiver?.file ?? []].flat()),
    written: unique([
      ...endpoints.map((path) => dirname(path)),
      ...(stateDir === undefined ? [] : [stateDir]),
      ...auditFolder(audit),
      ...pages.map((path) => dirname(path)),
    ]),
  }
}

/** The providers, and the key of a signer, which is reached as that of a provider is. */
export function keysOf({ providers, signer }: Config): Config['providers'] {
  if (signer === undefined) return providers
  const { key } = signer
  const named = { name: 'signer' } as const
  const beside =
    key.type === 'vault' ? { ...key, ...named, allowUnboundDecrypt: false } : { ...key, ...named }
  return [...providers, beside]
}

/** A waiver is put in when it is needed, and the files of `policy.files` are facts where they are absent too. */
function policyFiles(policy: Config['policy']): string[] {
  const { keyFiles = [] } = policy?.waiver ?? {}
  return [policy?.encryptionConfig ?? [], ...keyFiles].flat()
}

type Asked = Pick<NonNullable<Config['traces']>, 'tls' | 'tokenFile'>

/** Of a service that is no provider. */
function askedFiles({ tls, tokenFile }: Partial<Asked> = {}): string[] {
  return [tokenFile, tls?.caFile, tls?.certFile, tls?.keyFile].flatMap((path) => path ?? [])
}

export function auditFolder(audit: Config['audit']): string[] {
  return audit === undefined || audit.to === 'stdout' ? [] : [dirname(audit.to)]
}

function socketsOf(...addresses: readonly (string | undefined)[]): string[] {
  return addresses.flatMap((address) => unixPathOf(address ?? '') ?? [])
}

function unique(paths: readonly string[]): string[] {
  return [...new Set(paths)]
}
