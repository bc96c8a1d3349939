/** Files of Kubernetes that the tools read: EncryptionConfigurations, kubeconfigs and static pods. @module */

import { encryptionFacts } from '../../../src/policy/facts/encryption.ts'
import { findKubeAccess } from '../../../src/tools/kube/access.ts'
import {
  encryptedResources,
  readEncryptionConfig,
  readEncryptionFile,
} from '../../../src/tools/kube/encryption_config.ts'
import { flagOf, isOn, onNode, readStaticPod } from '../../../src/tools/kube/static_pod.ts'
import { textMutator } from '../mutate/text.ts'
import { bytesOf, fileTarget, type Surface } from '../surface.ts'

const YAML = [
  '- ',
  ': ',
  '&a ',
  '*a',
  '<<: *a',
  '!!str ',
  '!!binary ',
  '|\n',
  '? ',
  '{',
  '}',
  '[',
  ']',
  '---\n',
]
const NESTS = ['[', '{a: ', '- ', '? ', '&a [*a,', 'a:\n', '(']

const ENCRYPTION = [
  `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets, '*.apps', widgets.example.org]
    providers:
      - kms: { apiVersion: v2, name: trousseau, endpoint: unix:///run/a/kms.sock, timeout: 3s }
      - aescbc: { keys: [{ name: one, secret: MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE= }] }
      - identity: {}
`,
  `{"apiVersion":"apiserver.config.k8s.io/v1","kind":"EncryptionConfiguration","resources":[{"resources":["secrets"],"providers":[{"kms":{"name":"a","endpoint":"unix:///a","cachesize":10}},{"secretbox":{"keys":[]}}]}]}`,
]

export const encryptionConfig: Surface = {
  name: 'encryption_config',
  from: 'an operator, and whoever may write the file',
  files: [
    'tools/kube/encryption',
    'tools/kube/config_tree.ts',
    'tools/kube/go_',
    'policy/facts/encryption.ts',
  ],
  mutate: textMutator(
    [
      ...YAML,
      'kms',
      'aesgcm',
      'secretbox',
      'identity',
      'resources',
      'providers',
      '*.',
      '*.*',
      'v1',
      '1h2m',
      '-1',
      'yes',
      '0o7',
      '.inf',
    ],
    NESTS,
  ),
  open: () =>
    Promise.resolve(
      fileTarget(ENCRYPTION.map(bytesOf), async (path) => {
        await encryptionFacts(path)
        await readEncryptionFile(path)
        return encryptedResources(await readEncryptionConfig(path))
      }),
    ),
}

const KUBECONFIG = `apiVersion: v1
kind: Config
current-context: one
contexts:
  - { name: one, context: { cluster: c, user: u, namespace: x } }
clusters:
  - { name: c, cluster: { server: 'https://kube:6443', certificate-authority: pki/ca.crt, tls-server-name: kubernetes } }
users:
  - { name: u, user: { token: t, client-certificate-data: YQ==, client-key: k } }
`

export const kubeconfig: Surface = {
  name: 'kubeconfig',
  from: 'whoever hands out kubeconfigs',
  files: ['tools/kube/access.ts', 'tools/kube/go_json.ts'],
  mutate: textMutator(
    [
      ...YAML,
      'exec',
      'auth-provider',
      'username',
      'proxy-url',
      'insecure-skip-tls-verify: true',
      'https://',
    ],
    NESTS,
  ),
  open: () =>
    Promise.resolve(
      fileTarget([bytesOf(KUBECONFIG)], (path) => findKubeAccess({ kubeconfig: path }, {})),
    ),
}

const POD = `apiVersion: v1
kind: Pod
spec:
  hostNetwork: true
  containers:
    - name: kube-apiserver
      image: registry.k8s.io/kube-apiserver:v1.37.2
      command: [kube-apiserver, --encryption-provider-config=/etc/k/e.yaml, --encryption-provider-config-automatic-reload]
      args: ['--etcd-prefix', /registry]
      securityContext: { runAsUser: 0 }
      livenessProbe: { httpGet: { path: /livez }, periodSeconds: 10, failureThreshold: 8 }
      volumeMounts: [{ name: k, mountPath: /etc/k/ }, { name: run, mountPath: /run }]
  volumes: [{ name: k, hostPath: { path: /etc/kubernetes } }, { name: run, emptyDir: {} }]
`

export const staticPod: Surface = {
  name: 'static_pod',
  from: 'kubeadm, an operator, and whoever may write manifests',
  files: ['tools/kube/static_pod.ts', 'tools/kube/go_json.ts'],
  mutate: textMutator(
    [...YAML, 'kube-apiserver', '--etcd-prefix', '=', '/', '//', '..', 'hostPath'],
    NESTS,
  ),
  open: () =>
    Promise.resolve(
      fileTarget([bytesOf(POD)], async (path) => {
        const pod = await readStaticPod(path)
        return pod.spec.containers.map((container) => [
          onNode(pod, container, flagOf(container, 'encryption-provider-config') ?? '/'),
          isOn(container, 'encryption-provider-config-automatic-reload'),
        ])
      }),
    ),
}
