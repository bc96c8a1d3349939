/** Configs for OpenShift's operators: an image as they want it, and what they cannot run. @module */

import { MANIFEST_CONFIG } from './manifest_config.ts'

const [PROVIDER] = MANIFEST_CONFIG.providers
const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`
export const IMAGE = `registry.example.com/security/trousseau@${DIGEST}`

interface Refusal {
  readonly config: object
  readonly image?: string
  readonly problem: RegExp
  /**
   * The same mistake in the resource, by the path below `vault`, where the rules of the resource
   * refuse it too.
   */
  readonly inResource?: Readonly<Record<string, unknown>>
}

function withProvider(change: object): object {
  return { ...MANIFEST_CONFIG, providers: [{ ...PROVIDER, ...change }] }
}

export const OPENSHIFT_REFUSALS: Readonly<Record<string, Refusal>> = {
  'an image with a tag': {
    config: MANIFEST_CONFIG,
    image: `registry.example.com/security/trousseau-${'x'.repeat(60)}:1.0`,
    problem: /--image: wanted registry/,
    inResource: { kmsPluginImage: `registry.example.com/security/trousseau-${'x'.repeat(60)}:1.0` },
  },
  'an image without a host': {
    config: MANIFEST_CONFIG,
    image: `localhost/trousseau@${DIGEST}`,
    problem: /--image: wanted registry/,
    inResource: { kmsPluginImage: `localhost/trousseau@${DIGEST}` },
  },
  'a short digest': {
    config: MANIFEST_CONFIG,
    image: IMAGE.slice(0, -1),
    problem: /--image: wanted registry/,
    inResource: { kmsPluginImage: IMAGE.slice(0, -1) },
  },
  'an address with a path': {
    config: withProvider({ address: 'https://vault.example.org:8200/vault' }),
    problem: /providers\.0\.address: wanted https:\/\/host:port without a path/,
    inResource: { vaultAddress: 'https://vault.example.org:8200/vault' },
  },
  'an address over http': {
    config: withProvider({ address: 'http://vault.example.org:8200', allowInsecureHttp: true }),
    problem: /providers\.0\.address: wanted https/,
    inResource: { vaultAddress: 'http://vault.example.org:8200' },
  },
  'a namespace of Vault itself': {
    config: withProvider({ namespace: 'root' }),
    problem: /providers\.0\.namespace: wanted none of the names of Vault itself/,
    inResource: { vaultNamespace: 'root' },
  },
  'a server name in capitals': {
    config: withProvider({ tls: { serverName: 'Vault.Internal' } }),
    problem: /providers\.0\.tls\.serverName: wanted a host name in lower case/,
    inResource: { tls: { serverName: 'Vault.Internal' } },
  },
  'another login': {
    config: withProvider({ auth: { method: 'jwt', tokenFile: '/var/run/token' } }),
    problem: /providers\.0\.auth: wanted method approle with secretIdFile/,
  },
  'an AppRole without a secret id': {
    config: withProvider({ auth: { method: 'approle', roleId: 'role-1' } }),
    problem: /providers\.0\.auth: wanted method approle with secretIdFile/,
  },
  'two providers': {
    config: {
      ...MANIFEST_CONFIG,
      providers: [PROVIDER, { ...PROVIDER, name: 'other', key: 'other' }],
    },
    problem: /providers: wanted one provider of type vault/,
  },
  'another mount of the login': {
    config: withProvider({ auth: { ...PROVIDER.auth, mount: 'k8s' } }),
    problem: /providers\.0\.auth\.mount: the operators have no argument for it/,
  },
  'an id of its own': {
    config: withProvider({ id: 'mine' }),
    problem: /providers\.0\.id: the operators have no argument for it/,
  },
  'recovery keys': {
    config: { ...MANIFEST_CONFIG, recovery: { recipients: ['/etc/trousseau/recovery.pub.json'] } },
    problem: /recovery: the operators have no argument for it/,
  },
  'a client certificate': {
    config: withProvider({ tls: { certFile: '/etc/pki/client.pem' } }),
    problem: /providers\.0\.tls\.certFile: the operators have no argument for it/,
  },
}
