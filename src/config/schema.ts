/**
 * The config file (design §11): every key, its default and what it may be. The
 * editors' JSON Schema is made from this.
 *
 * @module
 */

import * as v from 'valibot'
import { duration } from '../auth/duration.ts'
import { parseSocketPath } from '../kms/socket_path.ts'
import { providerConfig } from '../providers/registry.ts'

const DAY_MS = 86_400_000
const MAX_PORT = 65_535

function described<T extends v.GenericSchema>(schema: T, text: string) {
  return v.pipe(schema, v.description(text))
}

const socketPath = v.pipe(
  v.string(),
  v.check((text) => {
    try {
      parseSocketPath(text)
      return true
    } catch {
      return false
    }
  }, 'an absolute path of at most 107 bytes, or unix:// and one'),
  v.transform(parseSocketPath),
)

const uid = v.pipe(v.number(), v.integer(), v.minValue(0))

const socket = v.strictObject({
  path: described(socketPath, 'Where kube-apiserver connects; its folder is made when absent'),
  mode: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^0?[0-7]{3}$/, 'octal permissions in quotes such as "0600"'),
      v.description('Permissions of the socket in octal; connecting needs write permission'),
      v.transform((text) => Number.parseInt(text, 8)),
    ),
    '0600',
  ),
  owner: v.optional(described(uid, 'Numeric user id that owns the socket')),
  group: v.optional(described(uid, 'Numeric group id of the socket')),
})

const LISTEN = 'host:port with a port up to 65535, or unix:///path'

const listen = v.pipe(
  v.string(),
  v.regex(/^(?:unix:\/\/\/.+|\[[0-9a-f:]+\]:\d{1,5}|[\w.-]+:\d{1,5})$/i, LISTEN),
  v.description('host:port (port 0 picks one) or unix:///path'),
  v.transform(parseListen),
  v.check((at) => 'path' in at || at.port <= MAX_PORT, LISTEN),
)

/** Where the admin server listens. */
export type Listen = { readonly path: string } | { readonly host: string; readonly port: number }

function parseListen(text: string): Listen {
  if (text.startsWith('unix://')) return { path: text.slice('unix://'.length) }
  const at = text.lastIndexOf(':')
  return { host: text.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(text.slice(at + 1)) }
}

const rotation = v.strictObject({
  activationDelay: v.optional(
    described(
      duration({ minMs: 0, maxMs: DAY_MS }),
      'How old a new key version must be before it encrypts',
    ),
    '5m',
  ),
})

const health = v.pipe(
  v.strictObject({
    interval: v.optional(
      described(duration({ minMs: 100, maxMs: DAY_MS }), 'How often the providers are asked'),
      '30s',
    ),
    staleAfter: v.optional(
      described(
        duration({ minMs: 200, maxMs: DAY_MS }),
        'How old the last good answer may get before it counts as an outage',
      ),
      '90s',
    ),
    outageHold: v.optional(
      described(
        duration({ minMs: 0, maxMs: 7 * DAY_MS }),
        'How long Status keeps answering the last key id in an outage; 0s turns it off',
      ),
      '15m',
    ),
  }),
  v.forward(
    v.check(({ interval, staleAfter }) => staleAfter > interval, 'longer than health.interval'),
    ['staleAfter'],
  ),
)

const log = v.strictObject({
  level: v.optional(
    described(v.picklist(['debug', 'info', 'warn', 'error']), 'The least that is logged'),
    'info',
  ),
  format: v.optional(
    described(v.picklist(['json', 'text']), 'json for collectors, text for terminals'),
    'json',
  ),
})

/** Sorts out the several-provider keys until the keyring serves more than one. */
const providers = v.pipe(
  v.array(providerConfig),
  v.length(1, 'exactly one provider: several at once are not supported yet'),
)

const PROTECTION = '"any": "threshold" and the long form are not supported yet'

export const configSchema = v.strictObject({
  apiVersion: described(v.literal('trousseau.io/v1'), 'Format of this file'),
  kind: described(v.literal('TrousseauConfig'), 'What this file is'),
  socket: described(socket, 'The socket that kube-apiserver connects to'),
  providers: described(providers, 'The key services; exactly one for now'),
  protection: v.optional(
    described(v.literal('any', PROTECTION), 'How a plaintext is spread over providers'),
    'any',
  ),
  rotation: v.optional(described(rotation, 'When a new key version is used'), {}),
  health: v.optional(described(health, 'How providers are watched, and what an outage means'), {}),
  requestTimeout: v.optional(
    described(
      duration({ minMs: 100, maxMs: 60_000 }),
      'Every request ends within this; keep it below the timeout of kube-apiserver (3s)',
    ),
    '2500ms',
  ),
  statusVersion: v.optional(
    described(
      v.picklist(['v2', 'v2beta1']),
      'v2beta1 only to take over a socket whose plugin said so',
    ),
    'v2',
  ),
  stateDir: v.optional(
    v.pipe(
      v.string(),
      v.startsWith('/'),
      v.description('Folder for non-secret state that lets a restart keep the key id in an outage'),
    ),
  ),
  admin: v.optional(
    described(v.strictObject({ listen }), 'Serves /livez, /readyz and /metrics; none without it'),
  ),
  log: v.optional(described(log, 'What is logged, one line an event on standard error'), {}),
})

export type Config = v.InferOutput<typeof configSchema>
