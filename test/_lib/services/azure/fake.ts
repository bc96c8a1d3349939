/**
 * A fake of Azure on loopback: a vault or a managed HSM, Microsoft Entra and the
 * metadata service of a machine, which share one clock and know each other's tokens.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { type FakeServer, startServer } from './fake/http.ts'
import { addVersion, type FakeVersion, type KeyState, serveKeys } from './fake/keys.ts'
import { serveEntra, serveMetadata, type TokenState } from './fake/tokens.ts'

export interface FakeAzureOptions {
  readonly hsm?: boolean
  /** Of an RSA key. */
  readonly bits?: number
  /** Milliseconds since the epoch. */
  readonly now?: () => number
}

export interface FakeAzure extends AsyncDisposable {
  readonly keys: FakeServer
  readonly entra: FakeServer
  readonly metadata: FakeServer
  readonly tokens: TokenState
  readonly state: KeyState
  /** What leads a provider here, but for its login. */
  readonly config: Readonly<Record<string, unknown>>
  rotate(bits?: number): FakeVersion
  /** As when a token is revoked: none that was given is good any more. */
  revokeTokens(): void
}

export async function startFakeAzure(options: FakeAzureOptions = {}): Promise<FakeAzure> {
  const { hsm = false, bits = 2048, now = Date.now } = options
  const domain = hsm ? 'managedhsm.azure.net' : 'vault.azure.net'
  const tokens: TokenState = {
    now,
    tenantId: '11111111-2222-3333-4444-555555555555',
    clientId: '66666666-7777-8888-9999-000000000000',
    audience: `https://${domain}`,
    authority: '',
    secret: `planted~${randomBytes(20).toString('base64url')}`,
    certificate: undefined,
    federatedToken: undefined,
    lifetime: 3600,
    identities: ['system'],
    issued: new Map(),
    usedAssertions: new Set(),
  }
  const state: KeyState = {
    tokens,
    hsm,
    deaf: false,
    key: 'k8s-etcd',
    host: `fake-vault.${domain}`,
    versions: [],
    deleted: false,
    permissions: new Set(['list', 'get', 'encrypt', 'decrypt']),
    pageSize: 25,
    nextLink: undefined,
    answersAs: undefined,
  }
  addVersion(state, bits)
  const date = () => tokens.now()
  const keys = await startServer(date, (request) => serveKeys(state, request))
  const entra = await startServer(date, (request) => serveEntra(tokens, request))
  const metadata = await startServer(date, (request) => serveMetadata(tokens, request))
  tokens.authority = entra.address
  const { tenantId, clientId } = tokens
  return {
    keys,
    entra,
    metadata,
    tokens,
    state,
    config: {
      name: 'azure',
      type: 'azurekms',
      [hsm ? 'managedHsm' : 'vault']: 'Fake-Vault',
      key: state.key,
      allowInsecureHttp: true,
      endpoints: { vault: keys.address, authority: entra.address, metadata: metadata.address },
      login: { method: 'clientSecret', tenantId, clientId, secretFile: '/nonexistent' },
    },
    rotate: (size = bits) => addVersion(state, size),
    revokeTokens: () => tokens.issued.clear(),
    async [Symbol.asyncDispose]() {
      await keys[Symbol.asyncDispose]()
      await entra[Symbol.asyncDispose]()
      await metadata[Symbol.asyncDispose]()
    },
  }
}
