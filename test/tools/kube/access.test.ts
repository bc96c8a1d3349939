/** Kubeconfigs that can be used, and those that cannot and say why. @module */

import { chmod, mkdir, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { KmsError } from '../../../src/base/errors.ts'
import { findKubeAccess } from '../../../src/tools/kube/access.ts'
import { type TempFolder, tempFolder } from '../../_lib/temp_folder.ts'
import { rejection, suite } from '../../_lib/uvu.ts'

const PLANTED = 'planted-5d0e-token'
const test = suite('tools/kube/access', () => ({}))

interface Parts {
  readonly cluster?: object
  readonly user?: object
}

async function written(folder: TempFolder, { cluster = {}, user = {} }: Parts): Promise<string> {
  const path = folder.at('config')
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'one',
    contexts: [
      { name: 'one', context: { cluster: 'c', user: 'u', namespace: 'x' } },
      { name: 'other', context: { cluster: 'c', user: 'nobody' } },
    ],
    clusters: [{ name: 'c', cluster: { server: 'https://kube.example.org:6443', ...cluster } }],
    users: [{ name: 'u', user: { token: PLANTED, ...user } }],
  }
  await writeFile(path, JSON.stringify(config))
  return path
}

test('server, authority, client certificate and token; files are beside the kubeconfig', async () => {
  await using folder = await tempFolder()
  const cluster = { 'certificate-authority': 'pki/ca.crt', 'tls-server-name': 'kubernetes' }
  const user = { 'client-certificate-data': btoa('the cert'), 'client-key-data': btoa('the key') }
  const kubeconfig = await written(folder, { cluster, user })

  const access = await findKubeAccess({ kubeconfig }, {})

  assert.is(access.server, 'https://kube.example.org:6443')
  assert.is(access.tls.caFile, folder.at('pki/ca.crt'))
  assert.is(access.tls.serverName, 'kubernetes')
  assert.equal(access.tls.pem, { cert: 'the cert', key: 'the key' })
  assert.is(access.token, PLANTED)
})

test('found as kubectl does: KUBECONFIG, the home folder, and in a pod its ServiceAccount', async () => {
  await using folder = await tempFolder()
  const path = await written(folder, {})
  await mkdir(folder.at('.kube'))

  assert.is((await findKubeAccess({}, { KUBECONFIG: path })).token, PLANTED)
  await writeFile(folder.at('.kube/config'), JSON.stringify({}))
  const empty = await rejection(findKubeAccess({}, { HOME: folder.path }))
  assert.match((empty as KmsError).message, /has no context "" that can be used; it has none/)
  const pod = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' }
  const inside = await findKubeAccess({}, { HOME: folder.at('nowhere'), ...pod })
  assert.is(inside.server, 'https://[fd00::1]:443')
  assert.match(inside.tokenFile ?? '', /serviceaccount\/token$/)
})

const REFUSED: readonly (readonly [what: string, parts: Parts, wanted: RegExp])[] = [
  [
    'a program that logs in',
    { user: { exec: { command: 'aws' } } },
    /runs another program to log in.*kubectl create token/,
  ],
  ['an auth provider', { user: { 'auth-provider': { name: 'oidc' } } }, /runs another program/],
  ['a password', { user: { username: 'admin', password: PLANTED } }, /has a password/],
  [
    'no verification',
    { cluster: { 'insecure-skip-tls-verify': true } },
    /name certificate-authority instead/,
  ],
  [
    'a proxy',
    { cluster: { 'proxy-url': 'http://proxy:3128' } },
    /proxy-url, which is not supported/,
  ],
  ['plain HTTP', { cluster: { server: 'http://kube:8080' } }, /a server that is not https/],
]

for (const [what, parts, wanted] of REFUSED) {
  test(`${what} is refused, with what to do and without a secret`, async () => {
    await using folder = await tempFolder()
    const kubeconfig = await written(folder, parts)

    const error = await rejection(findKubeAccess({ kubeconfig }, {}))

    assert.instance(error, KmsError)
    assert.match((error as KmsError).message, wanted)
    assert.not.ok((error as KmsError).message.includes(PLANTED))
  })
}

test('a context that is not there, or leads nowhere, is named with those that are', async () => {
  await using folder = await tempFolder()
  const kubeconfig = await written(folder, {})

  const missing = await rejection(findKubeAccess({ kubeconfig, context: 'three' }, {}))
  assert.match(
    (missing as KmsError).message,
    /has no context "three" that can be used; it has one, other/,
  )
  const nobody = await rejection(findKubeAccess({ kubeconfig, context: 'other' }, {}))
  assert.match((nobody as KmsError).message, /has no user "nobody"/)
})

test('what is no kubeconfig is refused without a word of it', async () => {
  await using folder = await tempFolder()
  const path = folder.at('config')
  for (const text of [`token: "${PLANTED}`, `[${PLANTED}]`, `contexts: ${PLANTED}`]) {
    await writeFile(path, text)
    const error = await rejection(findKubeAccess({ kubeconfig: path }, {}))
    assert.instance(error, KmsError)
    assert.not.ok((error as KmsError).message.includes(PLANTED), text)
  }
  await writeFile(path, '')
  await chmod(path, 0o600)
  assert.instance(await rejection(findKubeAccess({ kubeconfig: folder.at('none') }, {})), KmsError)
})

test.run()
