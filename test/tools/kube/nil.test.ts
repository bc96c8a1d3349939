/**
 * Go's nil slices and maps are null in JSON, and a key without a value is null in YAML: both are
 * read as absent.
 *
 * @module
 */

import { writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { manifestFindings } from '../../../src/tools/doctor/api_server_checks.ts'
import { findKubeAccess } from '../../../src/tools/kube/access.ts'
import type { KubeClient } from '../../../src/tools/kube/client.ts'
import { findResources } from '../../../src/tools/kube/discovery.ts'
import {
  encryptedResources,
  readEncryptionConfig,
} from '../../../src/tools/kube/encryption_config.ts'
import { rewrite } from '../../../src/tools/kube/rewrite.ts'
import { readStaticPod } from '../../../src/tools/kube/static_pod.ts'
import { migrateByController } from '../../../src/tools/kube/storage_migration.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { rejection, suite } from '../../_lib/uvu.ts'

const SECRETS = { group: '', version: 'v1', name: 'secrets' }
const test = suite('tools/kube/nil', () => ({}))

/** Answers each path with the body that stands for it, and everything else with 404. */
function answering(bodies: Readonly<Record<string, unknown>>): KubeClient {
  return {
    server: 'https://kube.example.org:6443',
    send({ path }) {
      const [page = ''] = path.split('?')
      const body = bodies[page]
      const status = body === undefined ? 404 : 200
      return Promise.resolve({ status, body, retryAfterMs: undefined, serverTime: undefined })
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

function unexpected(group: string): void {
  assert.unreachable(`${group} is away`)
}

test('rewrite of a resource without objects, whose list has "items": null, has nothing to do', async () => {
  const kube = answering({ '/api/v1/secrets': { metadata: { continue: null }, items: null } })
  const nothing = () => undefined

  const outcome = await rewrite(kube, SECRETS, {
    rate: 10_000,
    dryRun: false,
    stop: new AbortController().signal,
    onTotal: nothing,
    onDone: nothing,
    onFailed: nothing,
  })

  assert.equal(outcome, { done: 0, gone: 0, failed: 0, finished: true })
})

test('findResources reads a cluster without groups, a group without resources and a resource without verbs', async () => {
  const secrets = { name: 'secrets', verbs: ['list', 'patch'] }
  const core = { resources: [{ name: 'bindings', verbs: null }, secrets] }
  const bare = answering({ '/apis': { groups: null }, '/api/v1': core })
  assert.equal(await findResources(bare, ['*.*'], unexpected), [SECRETS])

  const group = { name: 'example.org', preferredVersion: { version: 'v1' } }
  const empty = answering({
    '/apis': { groups: [group] },
    '/api/v1': core,
    '/apis/example.org/v1': { resources: null },
  })
  assert.equal(await findResources(empty, ['*.*'], unexpected), [SECRETS])
})

test('findResources says what a resource is called that was named in the singular', async () => {
  const secrets = { name: 'secrets', verbs: ['list', 'patch'] }
  const kube = answering({ '/apis': { groups: [] }, '/api/v1': { resources: [secrets] } })
  for (const [name, said] of [
    ['secret', 'it is called secrets'],
    ['deploy', 'it is called deployments.apps'],
    ['nonsense', 'wanted its plural and group'],
  ] as const) {
    const error = await rejection(findResources(kube, [name], unexpected))
    assert.match(String(error), said)
  }
})

test('migrateByController waits while status or its conditions are null', async () => {
  const path = '/apis/storagemigration.k8s.io/v1/storageversionmigrations'
  const statuses = [
    null,
    { conditions: null },
    { conditions: [{ type: 'Succeeded', status: 'True' }] },
  ]
  const kube: KubeClient = {
    ...answering({}),
    send({ method, path: asked }) {
      assert.ok(asked.startsWith(path))
      const body = method === 'GET' ? { status: statuses.shift() } : {}
      return Promise.resolve({ status: 200, body, retryAfterMs: undefined, serverTime: undefined })
    },
  }

  assert.is(await migrateByController(kube, 'v1', SECRETS, new AbortController().signal), true)
  assert.equal(statuses, [])
})

test('readStaticPod reads a pod with keys that have no value, and doctor looks at it', async () => {
  await using folder = await tempFolder()
  const path = folder.at('pod.yaml')
  const keys = [
    'args',
    'image',
    'imagePullPolicy',
    'livenessProbe',
    'startupProbe',
    'securityContext',
  ]
  const container = [
    'name: kube-apiserver',
    'command: [kube-apiserver, ~]',
    ...keys.map((key) => `${key}:`),
  ]
  await writeFile(
    path,
    `kind: Pod
metadata:
spec:
  hostNetwork:
  securityContext:
  containers:
    - ${[...container, 'volumeMounts:'].join('\n      ')}
  volumes:
    - name: nothing
      hostPath:
`,
  )

  const pod = await readStaticPod(path)
  assert.equal(pod.spec.containers[0]?.command, ['kube-apiserver', ''])
  assert.equal(pod.spec.containers[0]?.args, [])
  assert.is(pod.spec.hostNetwork, false)
  const socket = { path: '/run/trousseau/kms.sock', mode: 0o600, owner: 0, group: 0 }
  const looked = { encryptionFile: undefined, dialed: [socket.path] }
  const ids = (await manifestFindings(pod, socket, looked)).map(({ id }) => id)
  assert.equal(ids, ['manifest-no-flag', 'manifest-socket-not-mounted'])

  await writeFile(path, 'kind: Pod\nspec: { containers: , volumes: }\n')
  assert.equal((await readStaticPod(path)).spec.containers, [])
  await writeFile(path, 'kind: Pod\nspec:\n')
  assert.match(
    String(await rejection(readStaticPod(path))),
    /is not the manifest of a pod, at spec/,
  )
})

test('findKubeAccess reads what kubectl writes for nothing there: clusters, users and contexts null', async () => {
  await using folder = await tempFolder()
  const kubeconfig = folder.at('config')
  await writeFile(kubeconfig, 'clusters: null\ncontexts: null\nusers: null\ncurrent-context:\n')
  const refused = await rejection(findKubeAccess({ kubeconfig }, {}))
  assert.match(String(refused), /has no context "" that can be used; it has none/)

  await writeFile(
    kubeconfig,
    `current-context: one
contexts: [{ name: one, context: { cluster: c, user: u, namespace: } }]
clusters:
  - name: c
    cluster: { server: 'https://kube.example.org:6443', certificate-authority: , insecure-skip-tls-verify: , proxy-url: , tls-server-name: }
users:
  - name: u
    user: { token: abc, tokenFile: , client-certificate: , client-key: , client-certificate-data: , client-key-data: , exec: , auth-provider: , username: }
`,
  )
  const { server, token, tls } = await findKubeAccess({ kubeconfig }, {})
  assert.equal({ server, token }, { server: 'https://kube.example.org:6443', token: 'abc' })
  assert.is(tls.caFile, undefined)
})

test('readEncryptionConfig reads null for what an entry leaves out', async () => {
  await using folder = await tempFolder()
  const path = folder.at('encryption.yaml')
  await writeFile(
    path,
    `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
      - identity:
        kms: { apiVersion: v2, name: one, endpoint: 'unix:///run/kms.sock', timeout: , cachesize: }
      - kms:
        identity: {}
  - resources: [configmaps]
    providers: [{ identity: {} }]
`,
  )

  assert.equal(encryptedResources(await readEncryptionConfig(path)), ['secrets'])
})

test.run()
