/** Config files, and the command line and environment that stand in their place. @module */

import { loadConfig } from '../../../src/config/load.ts'
import { configOfArguments } from '../../../src/config/plugin_arguments.ts'
import { jsonMutator } from '../mutate/json.ts'
import { textMutator } from '../mutate/text.ts'
import { bytesOf, fileTarget, type Surface, target, textOf } from '../surface.ts'

const YAML = [
  '- ',
  ': ',
  '&a ',
  '*a',
  '<<: *a',
  '!!str ',
  '|\n',
  '>-\n',
  '? ',
  '{',
  '}',
  '[',
  ']',
  '---\n',
]
const KEYS = ['providers', 'name', 'type', 'vault', 'local', 'awskms', 'azurekms', 'gcpkms', 'auth']
const MORE = [
  'method',
  'protection',
  'threshold',
  'socket',
  'endpoints',
  'policy',
  'rules',
  '5m',
  '/run/a',
]

const HEAD = 'apiVersion: trousseau.io/v1\nkind: TrousseauConfig\n'
const CONFIGS = [
  `${HEAD}socket: { path: /run/trousseau/kms.sock }
providers:
  - { name: here, type: local, keyFile: /etc/trousseau/keys }
`,
  `${HEAD}endpoints:
  - name: a
    socket: { path: /run/a/kms.sock, mode: '0660', group: kms }
    protection: { scheme: threshold, k: 2, providers: [v, w, x] }
providers:
  - name: v
    type: vault
    address: https://vault.example.org:8200
    key: k8s-etcd
    tls: { caFile: /etc/ca.pem }
    auth: { method: approle, roleIdFile: /etc/role, secretIdFile: /etc/secret }
  - { name: w, type: awskms, key: alias/k8s, region: eu-central-1, credentials: { source: imds } }
  - name: x
    type: gcpkms
    key: projects/p/locations/l/keyRings/r/cryptoKeys/k
    auth: { method: metadata }
  - { name: y, type: azurekms, vault: testkv, key: k8s, login: { method: managedIdentity } }
requestTimeout: 2500ms
rotation: { activationDelay: 5m }
health: { interval: 10s, hold: 15m }
log: { level: debug, format: json }
admin: { listen: 127.0.0.1:8787 }
stateDir: /var/lib/trousseau
recovery: { recipients: [/etc/r.pub.json] }
`,
  `${HEAD}socket: { path: /run/kms.sock }
providers: [{ name: here, type: local, keyFile: /etc/keys }]
policy:
  interval: 5s
  node: cp-1
  files: { kubelet: /usr/bin/kubelet }
  rules:
    - name: locked
      expression: kernel.lockdown == "integrity" && files.kubelet.present
      message: Not locked down
      mode: enforce
      guards: [encrypt, decrypt]
  waiver: { file: /etc/waiver, keyFiles: [/etc/w.pem], maxLifetime: 24h }
audit: { file: /var/log/trousseau/audit.jsonl }
`,
]

export const config: Surface = {
  name: 'config',
  from: 'an operator, or what writes configs for one',
  files: ['config/', 'services/http_fields.ts', 'policy/config.ts', 'policy/rule_book.ts'],
  mutate: textMutator(
    [...YAML, ...KEYS, ...MORE],
    ['[', '{a: ', '- ', '? ', '&a [*a,', ' ', 'a:\n'],
  ),
  open: () => Promise.resolve(fileTarget(CONFIGS.map(bytesOf), loadConfig)),
}

const CALLS = [
  {
    words: [
      '-listen-address=unix:///run/k/kms.sock',
      '-vault-address=https://vault:8200',
      '--transit-key-path',
      'transit/keys/k8s',
      '-approle-role-id=role',
      '-approle-secret-id-path=/etc/secret',
      '-log-level=debug',
    ],
    environment: {},
  },
  {
    words: [],
    environment: {
      VAULT_KUBE_KMS_VAULT_ADDRESS: 'http://vault:8200',
      VAULT_KUBE_KMS_TRANSIT_KEY: 'k8s',
      VAULT_KUBE_KMS_TRANSIT_MOUNT: 'transit',
      VAULT_KUBE_KMS_APPROLE_ROLE_ID: 'role',
      VAULT_KUBE_KMS_APPROLE_SECRET_ID_PATH: '/etc/secret',
      VAULT_KUBE_KMS_METRICS_PORT: '0',
      VAULT_KUBE_KMS_TIMEOUT: '1m30s',
    },
  },
]

export const pluginArguments: Surface = {
  name: 'plugin_arguments',
  from: "OpenShift's operators, and whoever sets their arguments",
  files: [
    'config/plugin_arguments.ts',
    'config/go_flags.ts',
    'config/argument_values.ts',
    'config/nearest.ts',
  ],
  mutate: jsonMutator(
    [
      '-zap-devel',
      '-tls-skip-verify=t',
      '--health-port',
      '0',
      '-timeout=1h',
      '-zap-encoder=json',
      '-',
    ],
    ['VAULT_KUBE_KMS_TLS_SNI', 'VAULT_KUBE_KMS_AUTH_METHOD', 'VAULT_KUBE_KMS_SERVICE_HOST'],
  ),
  open: () =>
    Promise.resolve(
      target(
        CALLS.map((call) => bytesOf(JSON.stringify(call))),
        (input) => {
          const { words, environment } = wordsIn(textOf(input))
          return configOfArguments(words, { environment, isEmptyDir: (path) => path === '/run/k' })
        },
      ),
    ),
}

/** A process has words and variables of text alone, and none with a zero in it. */
function wordsIn(text: string): { words: string[]; environment: Record<string, string> } {
  let found: unknown
  try {
    found = JSON.parse(text)
  } catch {
    return { words: text.split('\n'), environment: {} }
  }
  const { words = [], environment = {} } = (found ?? {}) as Record<string, unknown>
  const plain = (value: unknown) => String(JSON.stringify(value)).replaceAll(/^"|"$/g, '')
  return {
    words: (Array.isArray(words) ? words : [words]).map(plain),
    environment: Object.fromEntries(
      Object.entries(Object(environment)).map(([name, value]) => [name, plain(value)]),
    ),
  }
}
