/**
 * The config file (docs/configuration.md): every key, its default and its permitted values. The
 * JSON Schema for editors is made from this.
 *
 * @module
 */

import * as v from 'valibot'
import { duration } from '../base/duration.ts'
import { unixPathOf } from '../base/socket_path.ts'
import { policyConfig } from '../policy/config.ts'
import { MAX_RECIPIENTS } from '../recovery/annotation.ts'
import { LABEL } from '../services/provider_fields.ts'
import { providerConfig } from '../services/registry.ts'
import { protectionConfig } from './protection.ts'
import { signerConfig } from './signer.ts'
import { socketConfig } from './socket.ts'
import { tracesConfig } from './traces.ts'

const DAY_MS = 86_400_000
const MAX_PORT = 65_535

function described<T extends v.GenericSchema>(schema: T, text: string) {
  return v.pipe(schema, v.description(text))
}

const LISTEN = 'host:port with a port up to 65535, or unix:///path'

const listen = v.pipe(
  v.string(LISTEN),
  v.regex(/^(?:unix:\/\/\/.+|\[[0-9a-f:]+\]:\d{1,5}|[\w.-]+:\d{1,5})$/i, LISTEN),
  v.description('host:port (port 0 picks one) or unix:///path'),
  v.transform(parseListen),
  v.check((at) => 'path' in at || at.port <= MAX_PORT, LISTEN),
)

const runtimeMetrics = v.optional(
  described(v.boolean(), 'Whether /metrics has those of the process and its runtime'),
  true,
)

/** Where the admin server listens. */
export type Listen = { readonly path: string } | { readonly host: string; readonly port: number }

function parseListen(text: string): Listen {
  const path = unixPathOf(text)
  if (path !== undefined) return { path }
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
    described(
      v.picklist(['json', 'text']),
      'json for collectors, text for people; text at a terminal and json elsewhere where absent',
    ),
  ),
})

const MIB = 1_048_576
const STDOUT = 'stdout'
const bytes = (min: number, text: string) =>
  v.pipe(
    v.number(`a number of bytes, from ${min}`),
    v.integer(`a number of bytes, from ${min}`),
    v.minValue(min, `a number of bytes, from ${min}`),
    v.maxValue(1024 ** 4, 'at most 1099511627776'),
    v.description(text),
  )

const audit = v.pipe(
  v.strictObject({
    to: v.pipe(
      v.string(),
      v.check(
        (text) => text === STDOUT || /^\/(?:.*\/)?[^/]+$/s.test(text),
        'the absolute path of a file, or stdout',
      ),
      v.description('Absolute path of the file, or stdout; files that are rotated lie beside it'),
    ),
    maxBytes: v.optional(bytes(65_536, 'How large a file may get before it is rotated'), 64 * MIB),
    maxTotalBytes: v.optional(
      bytes(65_536, 'How large all rotated files may get before the oldest is deleted'),
      512 * MIB,
    ),
    signingKeyFile: v.optional(
      v.pipe(
        v.string(),
        v.startsWith('/'),
        v.description('Private key that signs heads; the login key of this node where absent'),
      ),
    ),
  }),
  v.forward(
    v.check(({ maxBytes, maxTotalBytes }) => maxTotalBytes >= maxBytes, 'at least audit.maxBytes'),
    ['maxTotalBytes'],
  ),
)

const MAX_PROVIDERS = 16
const MAX_ENDPOINTS = 32

const providers = v.pipe(
  v.array(providerConfig),
  v.minLength(1, 'at least one provider'),
  v.maxLength(MAX_PROVIDERS, `at most ${MAX_PROVIDERS} providers`),
)

const protection = described(protectionConfig, 'How a plaintext is spread over providers')

const recovery = v.strictObject({
  recipients: v.pipe(
    v.array(v.pipe(v.string(), v.startsWith('/'))),
    v.minLength(1, 'at least one file'),
    v.maxLength(MAX_RECIPIENTS, `at most ${MAX_RECIPIENTS} files`),
    v.description('Files of public keys that "trousseau recovery-key create" made'),
  ),
  acknowledgeBypass: v.optional(
    v.pipe(
      v.boolean(),
      v.description('Needed under threshold: a recipient opens alone, whatever k says'),
    ),
    false,
  ),
})

const endpoint = v.strictObject({
  name: v.pipe(
    v.string(),
    v.regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, LABEL),
    v.description(
      'Name of your choice, in lower case; shown in logs and metrics, and kept in stateDir',
    ),
  ),
  socket: described(socketConfig, 'The socket that a kube-apiserver connects to'),
  providers: v.optional(
    described(
      v.pipe(v.array(v.string()), v.minLength(1, 'at least one name')),
      'Names of the providers that this endpoint uses; all where absent',
    ),
  ),
  protection: v.optional(described(protectionConfig, 'That of the whole config where absent')),
})

export const configSchema = v.strictObject({
  apiVersion: described(v.literal('trousseau.io/v1'), 'Format of this file'),
  kind: described(v.literal('TrousseauConfig'), 'What this file is'),
  socket: v.optional(described(socketConfig, 'The socket that kube-apiserver connects to')),
  endpoints: v.optional(
    described(
      v.pipe(
        v.array(endpoint),
        v.minLength(1, 'at least one endpoint'),
        v.maxLength(MAX_ENDPOINTS, `at most ${MAX_ENDPOINTS} endpoints`),
      ),
      'Several sockets instead of one, each with its own protection over the same providers',
    ),
  ),
  providers: described(providers, 'The key services'),
  protection: v.optional(protection, 'any'),
  recovery: v.optional(
    described(recovery, 'Who can open Secrets after all key services are gone (KMS v2 only)'),
  ),
  policy: v.optional(described(policyConfig, 'What must be so on this node before a key is used')),
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
    described(
      v.strictObject({ listen, runtimeMetrics }),
      'Serves /livez, /readyz, /metrics and /statusz; none without it',
    ),
  ),
  probes: v.optional(
    described(
      v.strictObject({ listen }),
      'Serves /livez, /healthz and /readyz alone, for a kubelet that asks from outside',
    ),
  ),
  traces: v.optional(described(tracesConfig, 'Where spans of requests are sent; none without it')),
  audit: v.optional(
    described(
      audit,
      'Writes down every Encrypt and Decrypt, in a chain of hashes; none without it',
    ),
  ),
  signer: v.optional(
    described(signerConfig, 'Signs ServiceAccount tokens on a socket of its own; none without it'),
  ),
  log: v.optional(described(log, 'What is logged, one line an event on standard error'), {}),
})

export type Config = v.InferOutput<typeof configSchema>
