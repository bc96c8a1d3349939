/**
 * Names of the resources that every API server has. An EncryptionConfiguration uses plural and
 * group, etcd mostly leaves the group out, and people use the singular or a short name.
 *
 * @module
 */

import { namedBy } from './encryption_resources.ts'

/** Plurals by their group, each with its short names. */
const BUILT_IN: Readonly<Record<string, string>> = {
  '': 'configmaps:cm endpoints:ep events:ev limitranges:limits namespaces:ns nodes:no persistentvolumeclaims:pvc persistentvolumes:pv pods:po podtemplates replicationcontrollers:rc resourcequotas:quota secrets serviceaccounts:sa services:svc',
  'admissionregistration.k8s.io':
    'mutatingadmissionpolicies mutatingadmissionpolicybindings mutatingwebhookconfigurations validatingadmissionpolicies validatingadmissionpolicybindings validatingwebhookconfigurations',
  'apiextensions.k8s.io': 'customresourcedefinitions:crd:crds',
  'apiregistration.k8s.io': 'apiservices',
  apps: 'controllerrevisions daemonsets:ds deployments:deploy replicasets:rs statefulsets:sts',
  autoscaling: 'horizontalpodautoscalers:hpa',
  batch: 'cronjobs:cj jobs',
  'certificates.k8s.io':
    'certificatesigningrequests:csr clustertrustbundles podcertificaterequests',
  'coordination.k8s.io': 'leasecandidates leases',
  'discovery.k8s.io': 'endpointslices',
  'flowcontrol.apiserver.k8s.io': 'flowschemas prioritylevelconfigurations',
  'internal.apiserver.k8s.io': 'storageversions',
  'networking.k8s.io':
    'ingressclasses ingresses:ing ipaddresses:ip networkpolicies:netpol servicecidrs',
  'node.k8s.io': 'runtimeclasses',
  policy: 'poddisruptionbudgets:pdb',
  'rbac.authorization.k8s.io': 'clusterrolebindings clusterroles rolebindings roles',
  'resource.k8s.io':
    'deviceclasses devicetaintrules resourceclaims resourceclaimtemplates resourceslices',
  'scheduling.k8s.io': 'priorityclasses:pc',
  'storage.k8s.io':
    'csidrivers csinodes csistoragecapacities storageclasses:sc volumeattachments volumeattributesclasses:vac',
  'storagemigration.k8s.io': 'storageversionmigrations',
}

/** In etcd, the keys of these groups begin with the group, as those of custom resources do. */
const STORED_BY_GROUP = ['apiextensions.k8s.io', 'apiregistration.k8s.io']

interface BuiltIn {
  readonly group: string
  readonly plural: string
  /** The name in an EncryptionConfiguration. */
  readonly name: string
  /** The name in keys of etcd. */
  readonly stored: string
  /** Names that people use. */
  readonly words: readonly string[]
}

const ALL: readonly BuiltIn[] = Object.entries(BUILT_IN).flatMap(([group, listed]) =>
  listed.split(' ').map((each) => {
    const [plural = '', ...short] = each.split(':')
    const name = group === '' ? plural : `${plural}.${group}`
    const stored = STORED_BY_GROUP.includes(group) ? name : plural
    return { group, plural, name, stored, words: [plural, singularOf(plural), ...short] }
  }),
)

/** The singular of a resource's name, with or without its group. */
export function singularOf(plural: string): string {
  return plural.replace(/^[^.]+/, (name) =>
    name.replace(/ies$/, 'y').replace(/(?<=ss)es$|(?<!s)s$/, ''),
  )
}

/** The core group may be written too: `secrets.` */
function bare(name: string): string {
  return name.replace(/(?<=\w)\.$/, '')
}

/** Whether an EncryptionConfiguration or etcd uses this name. */
export function isBuiltIn(name: string): boolean {
  return ALL.some((each) => each.name === bare(name) || each.stored === name)
}

/**
 * The resource that somebody meant by another word: `secret`, `cm`, `Deployment`, `deployments`.
 */
export function meantBy(word: string): string | undefined {
  if (ALL.some(({ name }) => name === bare(word))) return undefined
  const { resource, group } = namedBy(word.toLowerCase())
  return ALL.find((each) => each.words.includes(resource) && (group === '' || group === each.group))
    ?.name
}

/**
 * The names in keys of etcd for a name of an EncryptionConfiguration. `*.GROUP` of custom resources
 * and unknown names stay as they are; `*` is everything.
 */
export function storedAs(name: string): string[] {
  if (name === '*.*') return ['*']
  const { resource, group } = namedBy(name)
  const matched = ALL.filter((each) =>
    resource === '*' ? name !== '*' && each.group === group : each.name === bare(name),
  ).map(({ stored }) => stored)
  return resource === '*' || matched.length === 0 ? [...matched, name] : matched
}
