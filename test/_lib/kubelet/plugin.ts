/** The plugin on a node, put there as its pages say, with what the product itself prints. @module */

import { existsSync } from 'node:fs'
import * as v from 'valibot'
import { stringify } from 'yaml'
import { until } from '../wait.ts'
import type { Machine } from './machine.ts'
import { MANIFESTS } from './node.ts'

export const CONFIG = '/etc/trousseau/trousseau.yaml'
/** How its command line begins. */
export const PLUGIN = '/usr/bin/trousseau serve'
export const SOCKET = '/run/trousseau/kms.sock'
export const POD = `${MANIFESTS}/trousseau.yaml`
/** Where the printed files want it. */
export const ENCRYPTION = '/etc/kubernetes/enc/enc.yaml'
export const KEY_FILE = '/etc/trousseau/keys'

/** Its key file is made on the node, or was brought there. */
const LOCAL = { name: 'keys', type: 'local', keyFile: KEY_FILE } as const

interface PluginOptions {
  /** Of `manifests`. */
  readonly flags?: readonly string[]
  /** Instead of a key file on the node. */
  readonly provider?: object
  /** Further keys of the config. */
  readonly config?: object
}

/** Config, key, folders and pod; whoever follows the pages as root does no more. */
export async function installPlugin(
  machine: Machine,
  { flags = [], provider = LOCAL, config = {} }: PluginOptions = {},
): Promise<void> {
  const text = stringify({
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: SOCKET },
    providers: [provider],
    ...config,
  })
  await machine.write(CONFIG, text)
  if (provider === LOCAL && !existsSync(machine.at(KEY_FILE))) {
    await machine.run('trousseau', 'keygen', KEY_FILE)
  }
  await machine.write(
    '/etc/tmpfiles.d/trousseau.conf',
    await printed(machine, 'tmpfiles', ...flags),
  )
  await machine.run('systemd-tmpfiles', '--create', '/etc/tmpfiles.d/trousseau.conf')
  await machine.write(POD, await printed(machine, 'static-pod', ...flags))
}

/** What `trousseau manifests` prints on the node. */
export function printed(machine: Machine, kind: string, ...flags: readonly string[]) {
  return machine.run('trousseau', 'manifests', kind, '--config', CONFIG, ...flags)
}

/** The files for kubeadm in a folder of the node, whose path it resolves to; the API server's config where they want it. */
export async function kubeadmFiles(machine: Machine): Promise<string> {
  const folder = '/etc/trousseau-kubeadm'
  await printed(machine, 'kubeadm', '--out', folder)
  await machine.run('install', '-D', '-m', '0600', `${folder}/encryption.yaml`, ENCRYPTION)
  return folder
}

/** Resolves once the plugin answers that it is well. */
export async function untilWell(machine: Machine): Promise<void> {
  await until(
    'the plugin is well',
    () =>
      machine.run('trousseau', 'status', '--socket', SOCKET).then(
        () => true,
        () => false,
      ),
    { everyMs: 100 },
  ).catch(async (cause: unknown) => {
    throw new Error(`The plugin is not well: ${await machine.lastWords(5, 'trousseau')}`, { cause })
  })
}

const pods = v.object({
  items: v.array(
    v.object({
      metadata: v.object({ name: v.string() }),
      spec: v.object({ containers: v.tuple([v.object({ image: v.string() })]) }),
      status: v.object({
        containerStatuses: v.optional(
          v.array(
            v.object({
              ready: v.boolean(),
              restartCount: v.number(),
              containerID: v.optional(v.string(), ''),
              lastState: v.object({
                terminated: v.optional(v.object({ reason: v.string(), exitCode: v.number() })),
              }),
            }),
          ),
          [],
        ),
      }),
    }),
  ),
})

/** What a kubelet that runs alone says of the plugin's one container, with the image that was asked for. */
export async function containerOf(machine: Machine) {
  const text = await machine.run('curl', '--silent', '--insecure', 'https://127.0.0.1:10250/pods')
  const { items } = v.parse(pods, JSON.parse(text))
  const found = items.filter(({ metadata }) => metadata.name.startsWith('trousseau-'))
  const [pod, ...more] = found
  if (more.length > 0) throw new Error('There is more than one pod of the plugin')
  const [status] = pod?.status.containerStatuses ?? []
  if (pod === undefined || status === undefined) return undefined
  return { ...status, asked: pod.spec.containers[0].image }
}
