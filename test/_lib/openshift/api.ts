/** The rules of OpenShift's own API, as its Go module has them for a cluster to install. @module */

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import * as v from 'valibot'

const MODULE = fileURLToPath(new URL('../../cluster/go/openshift-api/', import.meta.url))
const FILES = 'config/v1/zz_generated.crd-manifests'
const run = promisify(execFile)
const downloaded = v.object({ Dir: v.string() })

/** The definition of `APIServer` for clusters with the feature gate of technology previews. */
export async function apiServerDefinition(): Promise<string> {
  const env = { ...process.env, GOFLAGS: '-mod=readonly', GOTOOLCHAIN: 'local' }
  const args = ['mod', 'download', '-json', 'github.com/openshift/api']
  const { stdout } = await run('go', args, { cwd: MODULE, env })
  const { Dir } = v.parse(downloaded, JSON.parse(stdout))
  return join(Dir, FILES, '0000_10_config-operator_01_apiservers-TechPreviewNoUpgrade.crd.yaml')
}
