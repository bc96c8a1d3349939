/** Configs that use everything of which manifests are made. @module */

export const MANIFEST_CONFIG = {
  apiVersion: 'trousseau.io/v1',
  kind: 'TrousseauConfig',
  socket: { path: '/run/trousseau/kms.sock' },
  providers: [
    {
      name: 'vault-prod',
      type: 'vault',
      address: 'https://vault.example.org:8200',
      mount: 'transit',
      key: 'k8s-etcd',
      tls: { caFile: '/srv/pki/ca.pem' },
      auth: {
        method: 'approle',
        roleIdFile: '/etc/trousseau/role-id',
        secretIdFile: '/etc/trousseau/credentials/secret-id',
      },
    },
  ],
  stateDir: '/var/lib/trousseau/state',
  admin: { listen: '127.0.0.1:8787' },
} as const

/** The same with a signer, whose socket has a folder of its own. */
export const SIGNED_CONFIG = {
  ...MANIFEST_CONFIG,
  signer: {
    socket: { path: '/run/trousseau-signer/signer.sock' },
    key: { type: 'local', keyFile: '/etc/trousseau/signer-keys' },
    legacyKeys: [{ file: '/etc/trousseau/sa.pub' }],
  },
} as const
