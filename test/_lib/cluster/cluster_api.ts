/** Cluster API, as its Go modules have it: the definitions that a cluster installs, and what becomes of an object. */

import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import * as v from 'valibot'
import { parse } from 'yaml'
import { reportOf } from '../go/program.ts'
import type { TempFolder } from '../temp_folder.ts'

const MODULE = fileURLToPath(new URL('../../e2e/cluster_api/', import.meta.url))
const DEFINITION =
  'controlplane/kubeadm/config/crd/bases/controlplane.cluster.x-k8s.io_kubeadmcontrolplanes.yaml'
const run = promisify(execFile)
const downloaded = v.object({ Dir: v.string() })
const madeOf = v.object({ clusterConfiguration: v.string(), userData: v.string() })
const cloudConfig = v.object({
  write_files: v.array(
    v.object({
      path: v.string(),
      owner: v.optional(v.string(), 'root:root'),
      permissions: v.string(),
      content: v.string(),
    }),
  ),
  runcmd: v.array(v.string()),
})

/** The CustomResourceDefinition of KubeadmControlPlane. */
export async function controlPlaneDefinition(): Promise<string> {
  const env = { ...process.env, GOFLAGS: '-mod=readonly', GOTOOLCHAIN: 'local' }
  const args = ['mod', 'download', '-json', 'sigs.k8s.io/cluster-api']
  const { stdout } = await run('go', args, { cwd: MODULE, env })
  const { Dir } = v.parse(downloaded, JSON.parse(stdout))
  return await readFile(join(Dir, DEFINITION), 'utf8')
}

/** What a machine gets of a KubeadmControlPlane, by the code of its provider. */
export async function firstMachine(
  folder: TempFolder,
  object: string,
  secrets: Readonly<Record<string, Readonly<Record<string, string>>>>,
  kubernetes: string,
) {
  await writeFile(folder.at('control-plane.yaml'), object)
  await writeFile(folder.at('secrets.json'), JSON.stringify(secrets))
  const report = await reportOf('cluster_api', [
    ...['-object', folder.at('control-plane.yaml'), '-secrets', folder.at('secrets.json')],
    ...['-kubernetes', kubernetes],
  ])
  const { clusterConfiguration, userData } = v.parse(madeOf, report)
  return { clusterConfiguration, ...v.parse(cloudConfig, parse(userData)) }
}
