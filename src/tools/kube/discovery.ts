/** Which resources an API server has, and how an EncryptionConfiguration names them. @module */

import * as v from 'valibot'
import { KmsError } from '../../base/errors.ts'
import type { KubeClient } from './client.ts'
import { list, maybe, text } from './go_json.ts'
import { meantBy } from './resource_names.ts'
import { succeeded } from './status.ts'

export interface Resource {
  /** Empty for the core group. */
  readonly group: string
  readonly version: string
  /** The plural: `secrets`. */
  readonly name: string
}

const groupList = v.object({
  groups: list(v.object({ name: v.string(), preferredVersion: v.object({ version: v.string() }) })),
})
const resourceList = v.object({
  resources: list(v.object({ name: v.string(), verbs: list(text) })),
})
const apiService = v.object({ spec: v.object({ service: maybe(v.looseObject({})) }) })

/** `secrets`, `widgets.example.org`. */
export function resourceName({ name, group }: Resource): string {
  return group === '' ? name : `${name}.${group}`
}

/** The path that lists all objects of a resource. */
export function pathOf({ group, version, name }: Resource): string {
  return group === '' ? `/api/${version}/${name}` : `/apis/${group}/${version}/${name}`
}

/**
 * @param wanted as in an EncryptionConfiguration: `secrets`, `widgets.example.org`, `*.` for the
 * core group, `*.apps`, `*.*`
 * @param onAway called with each group, such as `metrics.k8s.io/v1`, that `*.*` leaves out because
 * another server keeps its objects and does not answer
 * @throws KmsError `request_invalid` for what the API server does not have
 */
export async function findResources(
  kube: KubeClient,
  wanted: readonly string[],
  onAway: (group: string) => void,
): Promise<Resource[]> {
  const groups = new Map<string, string>([['', 'v1']])
  const listed = await succeeded(kube, { method: 'GET', path: '/apis' }, groupList)
  for (const { name, preferredVersion } of listed.groups) groups.set(name, preferredVersion.version)
  const found = new Map<string, Resource>()
  for (const words of wanted) {
    const resources = await matching(kube, words, groups, onAway)
    for (const resource of resources) found.set(resourceName(resource), resource)
  }
  return [...found.values()]
}

async function matching(
  kube: KubeClient,
  words: string,
  groups: ReadonlyMap<string, string>,
  onAway: (group: string) => void,
): Promise<Resource[]> {
  const [, name = words, group = ''] = /^([^.]+)\.(.*)$/.exec(words) ?? []
  const asked = group === '*' ? [...groups.keys()] : [group]
  const all: Resource[] = []
  for (const each of asked) {
    const version = groups.get(each)
    if (version === undefined) continue
    const served = await resourcesOf(kube, each, version).catch(async (error: unknown) => {
      if (group !== '*' || !(await isElsewhere(kube, each, version, error))) throw error
      onAway(`${each}/${version}`)
      return []
    })
    all.push(...served)
  }
  const matched = all.filter((resource) => name === '*' || resource.name === name)
  if (matched.length > 0 || name === '*') return matched
  const meant = meantBy(words)
  const todo =
    meant === undefined
      ? 'wanted its plural and group, such as secrets or widgets.example.org'
      : `it is called ${meant}`
  throw new KmsError(
    `${kube.server} has no resource ${words} that can be listed and changed: ${todo}`,
    { code: 'request_invalid' },
  )
}

async function resourcesOf(kube: KubeClient, group: string, version: string): Promise<Resource[]> {
  const path = group === '' ? `/api/${version}` : `/apis/${group}/${version}`
  const { resources } = await succeeded(kube, { method: 'GET', path }, resourceList)
  return resources
    .filter(
      ({ name, verbs }) => !name.includes('/') && verbs.includes('list') && verbs.includes('patch'),
    )
    .map(({ name }) => ({ group, version, name }))
}

/** Whether a group cannot be listed because another server serves it. */
async function isElsewhere(
  kube: KubeClient,
  group: string,
  version: string,
  error: unknown,
): Promise<boolean> {
  if (!(error instanceof KmsError && error.code === 'unavailable')) return false
  const path = `/apis/apiregistration.k8s.io/v1/apiservices/${version}.${group}`
  const { spec } = await succeeded(kube, { method: 'GET', path }, apiService)
  return spec.service !== undefined
}
