/** `trousseau config init`: a config to begin with, in which every line says what it is for. @module */

import { resolve } from 'node:path'
import type { ProviderType } from '../providers/registry.ts'
import type { Io } from './io.ts'
import { nextStep } from './notices.ts'
import { OutFile } from './out_file.ts'
import { EXIT } from './output.ts'

/** Nothing in it is secret, and the plugin may run as another user. */
const MODE = 0o644

/** The lines of each that are to be changed, below name and type. */
const PROVIDERS: Readonly<Record<ProviderType, string>> = {
  vault: `
    address: https://vault.example.org:8200     # reachable without the cluster that it protects
    mount: transit
    key: k8s-etcd
    tls: { caFile: /etc/trousseau/ca.pem }      # leave it out for the authorities of the system
    auth:                                       # docs/logins has the other ways
      method: approle
      roleIdFile: /etc/trousseau/role-id
      secretIdFile: /etc/trousseau/secret-id
# Then: "trousseau vault setup --config FILE" prints what sets the key service up.
`,
  awskms: `
    key: arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab
    credentials: { source: imds }               # the role of the instance
# Then: "trousseau awskms policy --config FILE" prints the policy that this role needs.
`,
  azurekms: `
    vault: my-key-vault                         # its name without the domain; or managedHsm: NAME
    key: k8s-etcd                               # without a version
    login: { method: managedIdentity }          # clientId: where the machine has several
# Then: "trousseau azurekms policy --config FILE" prints the role that this identity needs.
`,
  gcpkms: `
    key: projects/my-project/locations/europe-west1/keyRings/k8s/cryptoKeys/etcd
    auth: { method: metadata }                  # the service account of the machine
# Then: "trousseau gcpkms policy --config FILE" prints the bindings that this account needs.
`,
  local: `
    keyFile: /var/lib/trousseau/keys            # the same file on every node, and in a safe
# Then: "trousseau keygen /var/lib/trousseau/keys" makes the key.
`,
}

/**
 * @param file `-` for standard output
 * @throws KmsError where the file is there already or cannot be written
 */
export async function initConfig(file: string, type: ProviderType, io: Io): Promise<number> {
  const text = startingConfig(type)
  if (file === '-') {
    io.out(text)
    return EXIT.ok
  }
  const path = resolve(file)
  await using made = await OutFile.make(path, io.stop, MODE)
  await made.write(text)
  await made.keep()
  io.out(`Made ${path}: change the lines of the provider to yours\n`)
  nextStep({}, `trousseau config validate ${path}`, io)
  return EXIT.ok
}

function startingConfig(type: ProviderType): string {
  return `# Config of Trousseau. "trousseau config validate FILE" checks it, docs/configuration.md has every key.
# It holds no secret: each is a file that is named here.
apiVersion: trousseau.io/v1
kind: TrousseauConfig

# Where kube-apiserver connects; the endpoint in its EncryptionConfiguration is unix:// and this.
socket:
  path: /run/trousseau/kms.sock
  mode: "0600"

# The key service. A second one beside it: docs/protection.md.
providers:
  - name: main                                  # yours to choose
    type: ${type}${PROVIDERS[type]}
# Nothing secret: lets a restart keep the key id while the key service is away.
stateDir: /var/lib/trousseau/state

# /livez, /readyz, /metrics, and what "trousseau status --config FILE" shows of providers.
admin:
  listen: 127.0.0.1:8787

log:
  level: info                                   # debug, info, warn, error
  # format: json                                # or text; by default text at a terminal, else json

# Keys, kept offline, that open Secrets after all key services are gone ("trousseau recovery keygen"):
# recovery:
#   recipients: [/etc/trousseau/recovery-key.pub.json]
`
}
