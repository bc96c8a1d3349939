/**
 * Talos' own packages generate the config of a control-plane node, apply what `manifests talos` prints, and validate
 * the result. They are of 1.13, the newest that a registry has: KubeEtcdEncryptionConfig came with 1.14.
 *
 * @module
 */

import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { parse, parseAllDocuments, stringify } from 'yaml'
import { buildGoProgram } from '../_lib/go/program.ts'
import { runCommand } from '../_lib/plugin/process.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { MANIFEST_CONFIG } from '../_lib/tools/manifest_config.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const test = suite('distributions/talos', () => ({}), 900_000)
const run = promisify(execFile)

/** As the first comment of the files wants it. */
const CONFIG = {
  ...MANIFEST_CONFIG,
  socket: { path: '/var/lib/trousseau/run/kms.sock' },
  stateDir: '/var/lib/trousseau/state',
}

/** The machine config, all of its documents. */
async function patched(...patches: readonly string[]) {
  const program = await buildGoProgram('talos_config')
  const { stdout, stderr } = await run(program, ['-kubernetes', '1.35.0', ...patches])
  assert.is(stderr, '')
  return parseAllDocuments(stdout).map((document) => document.toJS())
}

async function printed(folder: TempFolder): Promise<void> {
  await writeFile(folder.at('config.json'), JSON.stringify(CONFIG))
  const { code, err } = await runCommand([
    'manifests',
    'talos',
    '--user',
    '65534',
    '--config',
    folder.at('config.json'),
    '--out',
    folder.path,
  ])
  assert.is(code, 0, err)
}

test('Talos takes the pod and the volume, and adds nothing to them', async () => {
  await using folder = await tempFolder()
  await printed(folder)
  const documents = parseAllDocuments(await readFile(folder.at('talos-encryption.yaml'), 'utf8'))
  const volume = documents.at(-1)?.toJS()
  await writeFile(folder.at('volume.yaml'), stringify(volume))

  const [config] = await patched(folder.at('talos-pod.yaml'), folder.at('volume.yaml'))

  const wanted = parse(await readFile(folder.at('talos-pod.yaml'), 'utf8'))
  assert.equal(config.machine.pods, wanted.machine.pods)
  // The API server's user, who may use the socket then.
  assert.is(config.machine.pods[0].spec.securityContext.runAsUser, 65_534)
  assert.equal(config.cluster.apiServer.extraVolumes, [
    { hostPath: '/var/lib/trousseau/run', mountPath: '/var/lib/trousseau/run' },
  ])
})

test('a field that Talos does not know is refused, and so is the document of 1.14', async () => {
  await using folder = await tempFolder()
  await printed(folder)
  await writeFile(folder.at('wrong.yaml'), 'machine: { podz: [] }\n')

  assert.match(String(await rejection(patched(folder.at('wrong.yaml')))), /podz/)
  assert.match(
    String(await rejection(patched(folder.at('talos-encryption.yaml')))),
    /"KubeEtcdEncryptionConfig" "v1alpha1": not registered/,
  )
})

test.run()
