/** Manifests for the kubelet and the API server: static pod, DaemonSet, kustomize. @module */

import type { Plan } from './plan.ts'
import { nodePreparation, pod, podSpec } from './pod.ts'
import { comment, indent, type ManifestFile } from './text.ts'

export function staticPod(plan: Plan): ManifestFile[] {
  const about = `Static pod: the kubelet runs it without an API server, also at a cold boot.
Goes to /etc/kubernetes/manifests/trousseau.yaml (kubeadm), or wherever the kubelet's staticPodPath points.
The image must be on the node already, or its registry reachable without the cluster.
A static pod cannot use Secrets, ConfigMaps and ServiceAccounts: everything is on the node.`
  return [{ path: 'trousseau.yaml', text: pod(about, plan) }]
}

const LOCK_OUT = `A DaemonSet needs an API server to be started, and that API server needs this plugin to read what is encrypted. So:

- When all control-plane nodes are off at once, nobody starts the plugin and the cluster stays down. For a cluster that
  runs its own control plane use the static pod or the systemd unit; this is for control planes that are hosted
  elsewhere, and for nodes that are replaced one by one.
- Never encrypt what the plugin is made of here: it reads config and credentials from the node, not from Secrets.
- updateStrategy replaces one node at a time. Do not use OnDelete with all nodes, nor maxUnavailable over 1.
- Before you delete it, put identity first in the EncryptionConfiguration and rewrite everything.`

export function daemonSet(plan: Plan): ManifestFile[] {
  const head = `DaemonSet on the control-plane nodes.

${LOCK_OUT}

${nodePreparation(plan)}`
  return [{ path: 'trousseau-daemonset.yaml', text: `${comment(head)}\n${daemonSetObjects(plan)}` }]
}

function daemonSetObjects(plan: Plan): string {
  return [
    serviceAccount(plan),
    ...(plan.serviceAccount ? [reviewer(plan)] : []),
    workload(plan),
  ].join('---\n')
}

function serviceAccount({ namespace }: Plan): string {
  return `apiVersion: v1
kind: ServiceAccount
metadata: { name: trousseau, namespace: ${namespace} }
automountServiceAccountToken: false    # the plugin asks nothing of this cluster
`
}

/** For a login in which the key service reviews the plugin's own token with that same token. */
function reviewer({ namespace }: Plan): string {
  return `# The login method kubernetes: lets the key service review this ServiceAccount's token with the token itself.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: trousseau-token-review }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:auth-delegator" }
subjects:
  - { kind: ServiceAccount, name: trousseau, namespace: ${namespace} }
`
}

function workload(plan: Plan): string {
  const { namespace } = plan
  const parts = {
    serviceAccountName: 'trousseau',
    ...(plan.serviceAccount ? { mounts: TOKEN_MOUNT, volumes: TOKEN_VOLUME } : {}),
  }
  return `apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: trousseau
  namespace: ${namespace}
  labels: { app.kubernetes.io/name: trousseau }
spec:
  selector: { matchLabels: { app.kubernetes.io/name: trousseau } }
  updateStrategy: { type: RollingUpdate, rollingUpdate: { maxUnavailable: 1 } }
  template:
    metadata: { labels: { app.kubernetes.io/name: trousseau } }
    spec:
      nodeSelector: { node-role.kubernetes.io/control-plane: "" }
      tolerations:
        - { operator: Exists }           # nothing that befalls a node may take its plugin away
${indent(podSpec(plan, parts), 6)}`
}

const TOKEN_MOUNT = `    - { name: token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true }
`
const TOKEN_VOLUME = `  - name: token
    projected:
      sources: [{ serviceAccountToken: { path: token, audience: vault, expirationSeconds: 3600 } }]
`

export function kustomize(plan: Plan): ManifestFile[] {
  const kustomization = `${comment(`kubectl apply -k . ; an overlay sets the image:

  images: [{ name: ${plan.image.replace(/[:@][^/]*$/, '')}, newTag: … }]

${LOCK_OUT}`)}
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: ${plan.namespace}
resources: [daemonset.yaml]
`
  return [
    { path: 'kustomization.yaml', text: kustomization },
    { path: 'daemonset.yaml', text: daemonSetObjects(plan) },
  ]
}
