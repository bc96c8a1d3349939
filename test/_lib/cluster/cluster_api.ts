/** Cluster API, as its Go modules have it: the definitions that a cluster installs. */

import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import * as v from 'valibot'

const MODULE = fileURLToPath(new URL('../../e2e/cluster_api/', import.meta.url))
const DEFINITION =
  'controlplane/kubeadm/config/crd/bases/controlplane.cluster.x-k8s.io_kubeadmcontrolplanes.yaml'
const run = promisify(execFile)
const downloaded = v.object({ Dir: v.string() })

/** The CustomResourceDefinition of KubeadmControlPlane. */
export async function controlPlaneDefinition(): Promise<string> {
  const env = { ...process.env, GOFLAGS: '-mod=readonly', GOTOOLCHAIN: 'local' }
  const args = ['mod', 'download', '-json', 'sigs.k8s.io/cluster-api']
  const { stdout } = await run('go', args, { cwd: MODULE, env })
  const { Dir } = v.parse(downloaded, JSON.parse(stdout))
  return await readFile(join(Dir, DEFINITION), 'utf8')
}
