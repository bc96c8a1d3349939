/** A static pod's container, started from its manifest as a kubelet would. @module */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import * as v from 'valibot'
import { parse } from 'yaml'
import type { Containerd } from '../_lib/package/containerd.ts'

const podSchema = v.object({
  spec: v.object({
    containers: v.tuple([
      v.object({
        image: v.string(),
        args: v.array(v.string()),
        volumeMounts: v.array(
          v.object({ name: v.string(), mountPath: v.string(), readOnly: v.optional(v.boolean()) }),
        ),
      }),
    ]),
    volumes: v.array(v.object({ name: v.string(), hostPath: v.object({ path: v.string() }) })),
  }),
})
type Spec = v.InferOutput<typeof podSchema>['spec']

interface Pod extends AsyncDisposable {
  readonly ended: boolean
  readonly output: string
  stop(): Promise<void>
}

/**
 * As far as the plugin needs it: image, arguments and mounts. Its user is the image's,
 * which ctr has no flag to change.
 *
 * @param root the folder that the pod's node is
 */
export async function startPod(
  { ctr, container, runcRoot }: Containerd,
  manifest: string,
  root: string,
): Promise<Pod> {
  const { spec } = v.parse(podSchema, parse(await readFile(manifest, 'utf8')))
  const [{ image, args }] = spec.containers
  const [program, ...client] = ctr
  const flags = ['--snapshotter', 'native', '--rm', '--read-only', '--seccomp']
  const run = ['--namespace', 'k8s.io', 'run', ...flags, ...mountsOf(spec, root)]
  const command = ['--runc-root', runcRoot, image, container, '/usr/bin/trousseau', ...args]
  const child = spawn(program, [...client, ...run, ...command], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
    })
  }
  const closed = once(child, 'close')
  const stop = async () => {
    if (child.exitCode === null) child.kill('SIGTERM')
    await closed
  }
  return {
    get ended() {
      return child.exitCode !== null
    },
    get output() {
      return output
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

function mountsOf({ containers, volumes }: Spec, root: string): string[] {
  const [{ volumeMounts }] = containers
  return volumeMounts.flatMap(({ name, mountPath, readOnly }) => {
    const from = volumes.find((volume) => volume.name === name)?.hostPath.path ?? ''
    const mode = readOnly === true ? 'ro' : 'rw'
    return ['--mount', `type=bind,src=${root}${from},dst=${mountPath},options=rbind:${mode}`]
  })
}
