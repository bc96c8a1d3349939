/** Doctor on how an API server gets to the socket: mounts with slashes at their end, links, another place in the container. @module */

import { symlink, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { runProgram } from '../../../src/cli/program.ts'
import { createKeyFile } from '../../../src/services/local/key_file.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { file, kms, rule } from '../../_lib/tools/encryption_corpus/build.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('tools/doctor/mounts', setup)

/** The folder of the socket, and a link to it in another one. */
async function setup() {
  const [folder, other] = [await tempFolder(), await tempFolder()]
  const link = other.at('link')
  await symlink(folder.path, link)
  await createKeyFile(folder.at('keys'), Date.now)
  await writeFile(
    folder.at('config.json'),
    JSON.stringify({
      apiVersion: 'trousseau.io/v1',
      kind: 'TrousseauConfig',
      socket: { path: folder.at('kms.sock') },
      providers: [{ name: 'here', type: 'local', keyFile: folder.at('keys') }],
    }),
  )
  return {
    folder,
    link,
    /** Ids of what is not well with the endpoint's folder, and what is mounted where. */
    async examined(endpoint: string, hostPath: string, mountPath: string, flags: string[] = []) {
      const encryption = folder.at('encryption.yaml')
      // A folder that is mounted at the root has it too.
      const alone = mountPath === '/' ? [] : [{ name: 'config', mountPath: encryption }]
      const text = file(rule('[secrets]', kms({ endpoint: `unix://${endpoint}/kms.sock` })))
      await writeFile(encryption, text)
      const container = {
        name: 'kube-apiserver',
        image: 'registry.example.org/kube-apiserver:v1.37.2',
        command: ['kube-apiserver', `--encryption-provider-config=${encryption}`, ...flags],
        volumeMounts: [...alone, { name: 'socket', mountPath }],
      }
      const volumes = [
        { name: 'config', hostPath: { path: encryption } },
        { name: 'socket', hostPath: { path: hostPath } },
      ]
      const pod = { kind: 'Pod', spec: { containers: [container], volumes } }
      await writeFile(folder.at('pod.json'), JSON.stringify(pod))
      const files = ['--encryption-config', encryption, '--api-server-manifest']
      const args = ['doctor', '--config', folder.at('config.json'), ...files, folder.at('pod.json')]
      const io = memoryIo()
      await runProgram([...args, '--offline', '--json'], io)
      const { findings } = JSON.parse(io.printed()) as { findings: { id: string; level: string }[] }
      return findings
        .filter(({ id, level }) => /^(?:encryption|manifest)/.test(id) && level !== 'ok')
        .map(({ id, level }) => `${level} ${id}`)
    },
    async [Symbol.asyncDispose]() {
      await folder[Symbol.asyncDispose]()
      await other[Symbol.asyncDispose]()
    },
  }
}

test('doctor takes mounts with a slash at their end', async (context) => {
  await using all = context
  const { path } = all.folder
  assert.equal(await all.examined(path, `${path}/`, `${path}/`), [])
  assert.equal(await all.examined(path, path, `${path}//`), [])
  assert.equal(await all.examined(path, '/', '/'), [])
})

test('doctor takes an endpoint through a link that is mounted', async (context) => {
  await using all = context
  const { folder, link } = all
  assert.equal(await all.examined(link, link, link), [])
  assert.equal(await all.examined(link, folder.path, link), [])
})

test('doctor warns of an endpoint through a link where only what it leads to is mounted', async (context) => {
  await using all = context
  const { path } = all.folder
  assert.equal(await all.examined(all.link, path, path), ['warning manifest-socket-link'])
})

test('doctor takes a socket that is at another place in the container', async (context) => {
  await using all = context
  assert.equal(await all.examined('/kms', all.folder.path, '/kms/'), [])
})

test('doctor finds an endpoint that leads elsewhere, and a socket that is not mounted', async (context) => {
  await using all = context
  const { path } = all.folder
  const notOurs = ['error encryption-endpoint', 'warning encryption-other-first']
  const missing = 'error manifest-socket-not-mounted'
  assert.equal(await all.examined('/kms', '/somewhere', '/kms'), [...notOurs, missing])
  assert.equal(await all.examined(path, '/somewhere', path), [...notOurs, missing])
  assert.equal(await all.examined(path, '/somewhere', '/elsewhere'), [missing])
})

test('doctor warns of an EncryptionConfiguration that is mounted alone and should be read again', async (context) => {
  await using all = context
  const { path } = all.folder
  const reload = '--encryption-provider-config-automatic-reload'
  assert.equal(await all.examined(path, path, path, [reload]), ['warning manifest-config-file'])
  assert.equal(await all.examined(path, path, path, [`${reload}=false`]), [])
  assert.equal(await all.examined(path, '/', '/', [reload]), [])
})

test.run()
