/** The part of the config file about the signer of ServiceAccount tokens: `signer` (docs/signer.md). @module */

import * as v from 'valibot'
import { duration, durationText } from '../base/duration.ts'
import { absolutePath } from '../remote/login_fields.ts'
import { vaultSigningConfig } from '../services/vault/config.ts'
import { claimedBy } from '../services/vault/login/auth.ts'
import { socketConfig } from './socket.ts'

const HOUR_MS = 3_600_000
const YEAR_MS = 8_760 * HOUR_MS
const MAX_KEYS = 16

const localSigningConfig = v.strictObject({
  type: v.literal('local'),
  keyFile: v.pipe(
    absolutePath,
    v.description(
      'File of mode 0600 made by "trousseau keygen FILE --signer", the same on every node',
    ),
  ),
})

const legacyKey = v.strictObject({
  file: v.pipe(absolutePath, v.description('PEM of a public key, such as sa.pub')),
  discovery: v.optional(
    v.pipe(v.boolean(), v.description('Whether OpenID discovery shows it')),
    true,
  ),
})

export const signerConfig = v.strictObject({
  socket: v.pipe(socketConfig, v.description('The socket of --service-account-signing-endpoint')),
  key: v.pipe(
    v.variant('type', [vaultSigningConfig, localSigningConfig]),
    v.description('The key that signs'),
  ),
  maxTokenLife: v.optional(
    v.pipe(
      // Rule J5.
      duration({ minMs: 600_000, maxMs: 10 * YEAR_MS }),
      v.description('The longest life of a token; API servers shorten what is asked for to it'),
    ),
    durationText(YEAR_MS),
  ),
  refreshHint: v.optional(
    v.pipe(
      duration({ minMs: 1_000, maxMs: 24 * HOUR_MS }),
      v.description(
        'How often API servers fetch the public keys, and how long others may keep them',
      ),
    ),
    '60s',
  ),
  activationDelay: v.optional(
    v.pipe(
      duration({ minMs: 1_000, maxMs: 24 * HOUR_MS }),
      v.description('How old a new key version must be before it signs; published it is at once'),
    ),
    '15m',
  ),
  legacyKeys: v.optional(
    v.pipe(
      v.array(legacyKey),
      v.maxLength(MAX_KEYS, `at most ${MAX_KEYS} files`),
      v.description('Public keys that are published beside: those of before, or of another signer'),
    ),
    [],
  ),
  distrusted: v.optional(
    v.pipe(
      v.array(v.pipe(v.string(), v.regex(/^[\w-]{43}$/, 'the name of a key, 43 characters'))),
      v.description('Names (kid) of keys of this signer that are published and used no more'),
    ),
    [],
  ),
})
export type SignerConfig = v.InferOutput<typeof signerConfig>

interface Fitting {
  readonly signer?: SignerConfig | undefined
  readonly stateDir?: string | undefined
  readonly socket?: { readonly path: string } | undefined
  readonly endpoints?: readonly { readonly socket: { readonly path: string } }[] | undefined
  readonly providers: readonly { readonly name: string }[]
  readonly health: { readonly interval: number }
}

/** The name that log and metrics know the signer by. */
const NAME = 'signer'

/** What must fit between the signer and the rest of the config. */
export function signerProblems(config: Fitting): string[] {
  const { signer, stateDir, health } = config
  if (signer === undefined) return []
  const sockets = [config.socket, ...(config.endpoints ?? []).map(({ socket }) => socket)]
  const shortest = signer.refreshHint + 2 * health.interval
  return [
    ...(sockets.some((socket) => socket?.path === signer.socket.path)
      ? ['signer.socket.path: wanted another one than that of the KMS']
      : []),
    ...(stateDir === undefined
      ? [
          'stateDir: wanted, because an API server that starts in an outage needs the public keys of the signer',
        ]
      : []),
    ...(config.providers.some(({ name }) => name === NAME)
      ? [`providers: the name "${NAME}" is the signer's in log and metrics: wanted another one`]
      : []),
    ...(signer.key.type === 'vault' && claimedBy(signer.key.auth).length > 0
      ? ['signer.key.auth.selfSigned.factClaims: wanted none: rules are about the KMS alone']
      : []),
    ...(signer.activationDelay < shortest
      ? [
          `signer.activationDelay: wanted at least ${durationText(shortest)}, signer.refreshHint and twice health.interval: a new key is to be known everywhere before it signs`,
        ]
      : []),
  ]
}
