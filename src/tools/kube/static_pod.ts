/** The manifest of a static pod, as far as the tools need it. @module */

import { normalize } from 'node:path'
import * as v from 'valibot'
import { KmsError, systemReasonOf } from '../../base/errors.ts'
import { readSmallFile } from '../../base/small_file.ts'
import { parseYaml } from '../../base/yaml/parse.ts'
import { flag, list, maybe, text } from './go_json.ts'

const words = list(text)
const identity = v.nullish(
  v.looseObject({ runAsUser: maybe(v.number()), runAsGroup: maybe(v.number()) }),
  {},
)
const periods = {
  periodSeconds: v.nullish(v.number(), 10),
  failureThreshold: v.nullish(v.number(), 3),
}
const container = v.looseObject({
  name: v.string(),
  image: text,
  imagePullPolicy: maybe(v.string()),
  command: words,
  args: words,
  securityContext: identity,
  livenessProbe: maybe(
    v.looseObject({
      ...periods,
      initialDelaySeconds: v.nullish(v.number(), 0),
      httpGet: maybe(v.looseObject({ path: text })),
    }),
  ),
  startupProbe: maybe(v.looseObject(periods)),
  volumeMounts: list(v.looseObject({ name: v.string(), mountPath: v.string() })),
})
const schema = v.looseObject({
  kind: v.literal('Pod'),
  spec: v.looseObject({
    hostNetwork: flag,
    securityContext: identity,
    containers: list(container),
    volumes: list(
      v.looseObject({
        name: v.string(),
        hostPath: maybe(v.looseObject({ path: v.string() })),
      }),
    ),
  }),
})
export type StaticPod = v.InferOutput<typeof schema>
export type Container = StaticPod['spec']['containers'][number]

/** @throws KmsError `request_invalid` */
export async function readStaticPod(path: string): Promise<StaticPod> {
  const content = await readSmallFile(path).catch((cause: unknown) => {
    throw refused(path, `cannot be read: ${systemReasonOf(cause)}`, cause)
  })
  const result = v.safeParse(schema, parsed(content, path))
  if (result.success) return result.output
  const at = result.issues.map((issue) => v.getDotPath(issue) ?? '(root)').join(', ')
  throw refused(path, `is not the manifest of a pod, at ${at}`)
}

/**
 * The place on the node of a path in the container; undefined where it is not mounted from there.
 */
export function onNode(
  { spec }: StaticPod,
  container: Container,
  path: string,
): string | undefined {
  const mounts = container.volumeMounts
    .map(({ name, mountPath }) => ({ name, at: plain(mountPath) }))
    .filter(({ at }) => path === at || path.startsWith(at === '/' ? at : `${at}/`))
    .toSorted((a, b) => b.at.length - a.at.length)
  const [mount] = mounts
  const volume = spec.volumes.find(({ name }) => name === mount?.name)
  if (mount === undefined || volume?.hostPath === undefined) return undefined
  return plain(`${volume.hostPath.path}/${path.slice(mount.at.length)}`)
}

/** Removes a slash at the end and repeated slashes, so that paths can be compared. */
export function plain(path: string): string {
  return normalize(path).replace(/(?<=.)\/$/, '')
}

/** The value of `--name=value` or `--name value`. */
export function flagOf({ command, args }: Container, name: string): string | undefined {
  const all = [...command, ...args]
  const at = all.findIndex((each) => each === `--${name}` || each.startsWith(`--${name}=`))
  if (at === -1) return undefined
  return all[at]?.includes('=') === true ? all[at].slice(name.length + 3) : all[at + 1]
}

/** Whether the flag `--name` is on; it may stand without a value. */
export function isOn({ command, args }: Container, name: string): boolean {
  const last = [...command, ...args].findLast(
    (each) => each === `--${name}` || each.startsWith(`--${name}=`),
  )
  return last !== undefined && /^(?:--[^=]+|.*=(?:true|t|1))$/i.test(last)
}

function parsed(content: string, path: string): unknown {
  try {
    return parseYaml(content)
  } catch (cause) {
    throw refused(path, 'is not YAML', cause)
  }
}

function refused(path: string, why: string, cause?: unknown): KmsError {
  return new KmsError(`File ${path} ${why}`, { code: 'request_invalid', cause })
}
