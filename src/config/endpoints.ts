/**
 * The sockets of a config, each with its protection, and the rules that parts of a config must keep
 * together.
 *
 * @module
 */

import { ONLY_ENDPOINT } from '../base/events.ts'
import { conflictOf } from '../takeover/foreign.ts'
import { policyFits } from './policy.ts'
import { type ProtectionInForce, protectionOf } from './protection.ts'
import type { Config } from './schema.ts'
import { signerProblems } from './signer.ts'

type Provider = Config['providers'][number]

export interface Endpoint extends ProtectionInForce {
  readonly name: string
  readonly socket: NonNullable<Config['socket']>
  readonly providers: readonly Provider[]
}

/** Expects a config in which {@link configProblems} found nothing wrong. */
export function endpointsOf(config: Config): Endpoint[] {
  return listed(config).map(({ name, socket, providers, protection }) => ({
    name,
    socket,
    providers,
    ...protectionOf(protection, writers(providers).length),
  }))
}

/** Every problem begins with the path of the key that is wrong. */
export function configProblems(config: Config): string[] {
  const { socket, endpoints, providers } = config
  if ((socket === undefined) === (endpoints === undefined)) {
    return ['socket: wanted either socket or endpoints, and not both']
  }
  const names = providers.map(({ name }) => name)
  const bypassed = listed(config).filter(({ protection }) => isThreshold(protection))
  const ids = providers.flatMap(({ id, formerIds }) => [id ?? [], formerIds ?? []].flat())
  return [
    ...repeated(names).map((name) => `providers: the name "${name}" is there twice`),
    ...repeated(ids).map((id) => `providers: the id "${id}" is there twice`),
    ...providers.flatMap(({ decryptOnly, activeFrom }, index) =>
      decryptOnly === true && activeFrom !== undefined
        ? `providers.${index}.activeFrom: wanted no decryptOnly beside it, which would outlast it`
        : [],
    ),
    ...repeated((endpoints ?? []).map(({ name }) => name)).map(
      (name) => `endpoints: the name "${name}" is there twice`,
    ),
    ...repeated((endpoints ?? []).map((each) => each.socket.path)).map(
      (path) => `endpoints: the socket ${path} is there twice`,
    ),
    ...(config.recovery?.acknowledgeBypass === false && bypassed.length > 0
      ? [
          'recovery.acknowledgeBypass: wanted true under threshold: a recipient opens alone, whatever k says',
        ]
      : []),
    ...listed(config).flatMap((each) => endpointProblems(each, names)),
    ...policyFits(config),
    ...signerProblems(config),
  ]
}

interface Listed {
  /** Path in the config. */
  readonly path: string
  readonly name: string
  readonly socket: NonNullable<Config['socket']>
  readonly wanted: readonly string[]
  readonly providers: readonly Provider[]
  readonly protection: Config['protection']
}

function listed({ socket, endpoints, providers, protection }: Config): Listed[] {
  const all = providers.map(({ name }) => name)
  if (socket !== undefined) {
    return [{ path: '', name: ONLY_ENDPOINT, socket, wanted: all, providers, protection }]
  }
  return (endpoints ?? []).map((endpoint, index) => {
    const wanted = endpoint.providers ?? all
    return {
      path: `endpoints.${index}.`,
      name: endpoint.name,
      socket: endpoint.socket,
      wanted,
      providers: providers.filter(({ name }) => wanted.includes(name)),
      protection: endpoint.protection ?? protection,
    }
  })
}

function endpointProblems(
  { path, wanted, providers, protection }: Listed,
  names: readonly string[],
): string[] {
  const unknown = wanted.filter((name) => !names.includes(name))
  const { problem, decryptPreference } = protectionOf(protection, writers(providers).length)
  const conflict = conflictOf(providers)
  const preferred = typeof decryptPreference === 'string' ? [] : decryptPreference
  return [
    ...unknown.map((name) => `${path}providers: no provider has the name "${name}"`),
    ...repeated(path === '' ? [] : wanted).map(
      (name) => `${path}providers: the name "${name}" is there twice`,
    ),
    ...preferred
      .filter((name) => !wanted.includes(name))
      .map((name) => `${path}protection.decryptPreference: no provider has the name "${name}"`),
    ...(conflict === undefined
      ? []
      : [`${path}providers: wanted "reads" whose forms can be told apart, but ${conflict}`]),
    ...(problem === undefined ? [] : [`${path}${problem}`]),
  ]
}

function isThreshold(protection: Config['protection']): boolean {
  return protection !== 'any' && protection.mode === 'threshold'
}

function writers(providers: readonly Provider[]): readonly Provider[] {
  return providers.filter(({ decryptOnly }) => decryptOnly !== true)
}

function repeated(texts: readonly string[]): string[] {
  return [...new Set(texts.filter((text, index) => texts.indexOf(text) !== index))]
}
