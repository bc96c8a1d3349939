/**
 * The control plane's side of the signer: the API server's flag, and what makes kubeadm leave out the
 * flags of the key files, beside which an API server does not start (docs/signer.md, rule J4).
 *
 * @module
 */

import type { Plan } from './plan.ts'
import { comment, indent, type ManifestFile } from './text.ts'

/** Where kubeadm keeps `sa.key` and `sa.pub`. */
const PKI = '/etc/kubernetes/pki'
const TARGETS = ['kube-apiserver', 'kube-controller-manager'] as const
type Target = (typeof TARGETS)[number]

/** Of an API server that has its tokens signed; none without a signer. */
export function signerFlags({ config }: Plan): Readonly<Record<string, string>> {
  if (config.signer === undefined) return {}
  return { 'service-account-signing-endpoint': config.signer.socket.path }
}

/** Strategic patches of what kubeadm writes; none without a signer. */
export function signerPatches(plan: Plan): ManifestFile[] {
  if (plan.config.signer === undefined) return []
  return TARGETS.map((target) => ({
    path: `${target}-signer+strategic.yaml`,
    text: `${comment(ABOUT[target])}\n${patchOf(target, PKI)}`,
  }))
}

/** The same among kubespray's variables, which writes them for kubeadm. */
export function kubesprayPatches({ config }: Plan): string {
  if (config.signer === undefined) return ''
  const patches = TARGETS.map(
    (target) =>
      `- target: ${target}\n  patch:\n${indent(patchOf(target, '/etc/kubernetes/ssl'), 4)}`,
  )
  return `# They take away the flags of sa.key and sa.pub, beside which an API server refuses the signer's. On a cluster
# that runs first docs/signer.md, "From sa.key, and back". Join these to the list, where you have one.
kubeadm_patches:
${indent(patches.join(''), 2)}`
}

function patchOf(target: Target, pki: string): string {
  const flags = keyFiles(target, pki).map((flag) => `- ${flag}\n`)
  return `spec:
  containers:
    - name: ${target}
      $deleteFromPrimitiveList/command:
${indent(flags.join(''), 8)}`
}

/** What an operator does by hand where flags are a list that nobody here has seen. */
export function hostedSigner({ config }: Plan): string {
  if (config.signer === undefined) return ''
  return `
The API server refuses --service-account-signing-endpoint beside flags of key files. Take each of them away, the last
one first, with N its place in the list, which the first line makes sure of:

  - { op: test, path: /spec/template/spec/containers/0/args/N, value: --service-account-key-file=… }
  - { op: remove, path: /spec/template/spec/containers/0/args/N }

and the same for --service-account-signing-key-file; an operator that sets them itself has to leave them out.
stateDir ends with the pod here: a new pod whose key service is away knows no public key, and its API server waits.
`
}

/** For products that give their API server the key files and can leave them out in no way. */
export function withoutSigner({ config }: Plan, product: string): string {
  if (config.signer === undefined) return ''
  return `
The signer of the config is of no use here: ${product} always gives its API server --service-account-key-file, has
no way to leave it out, and an API server that has it refuses --service-account-signing-endpoint.
`
}

function keyFiles(target: Target, pki: string): string[] {
  return target === 'kube-apiserver'
    ? [
        `--service-account-key-file=${pki}/sa.pub`,
        `--service-account-signing-key-file=${pki}/sa.key`,
      ]
    : [`--service-account-private-key-file=${pki}/sa.key`]
}

const ABOUT = {
  'kube-apiserver': `A patch for kubeadm with this name, in the folder that "patches: { directory: FOLDER }" of the InitConfiguration or
JoinConfiguration names. The API server refuses the flags of key files beside --service-account-signing-endpoint, and
kubeadm always writes them: extraArgs can change a flag and never take one away. This takes away exactly these
two texts: where certificatesDir or your extraArgs name other files, change them here, or the API server does not start.
kubeadm remembers no patches: "kubeadm upgrade apply" and "kubeadm upgrade node" need --patches FOLDER every time.
On a cluster that runs first docs/signer.md, "From sa.key, and back": no token may meet an API server without its key.`,
  'kube-controller-manager': `The same for the controller manager, which needs sa.key for token Secrets alone. With this it makes none, and sa.key
can go. Without sa.key kubeadm makes a new one at "kubeadm init" and refuses "kubeadm join --control-plane": it
checks that a key is there, and with these patches nothing signs with it or believes it.`,
} as const satisfies Record<Target, string>
