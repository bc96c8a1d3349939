/** What an API server answers to the tools: its resources, lists, migrations, metrics and refusals. @module */

import { systemClock } from '../../../src/base/clock.ts'
import { connectKube, type KubeClient, type KubeRequest } from '../../../src/tools/kube/client.ts'
import { findResources } from '../../../src/tools/kube/discovery.ts'
import { latestKeyIdHashes } from '../../../src/tools/kube/key_ids.ts'
import { rewrite } from '../../../src/tools/kube/rewrite.ts'
import { migrateByController, migrationVersion } from '../../../src/tools/kube/storage_migration.ts'
import { InstantSleep } from '../engine/instant_sleep.ts'
import { ignoreNamed } from '../engine/named_error.ts'
import { PlayedHttp } from '../engine/played_http.ts'
import { bytesOf, type Surface, type Target, textOf } from '../surface.ts'
import { answerMutator, scriptIn } from './providers.ts'

const SECRETS = { group: '', version: 'v1', name: 'secrets' }
/** Who waits for a controller is stopped after so many requests. */
const PATIENCE = 20
const GROUP = 'storagemigration.k8s.io'
const METRIC = 'apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds'

const resources = [
  { name: 'secrets', verbs: ['list', 'patch'] },
  { name: 'secrets/status', verbs: ['patch'] },
]
const HONEST = [
  {
    at: 'GET /apis',
    body: {
      groups: [
        { name: GROUP, preferredVersion: { version: 'v1beta1' } },
        { name: 'metrics.k8s.io', preferredVersion: { version: 'v1' } },
      ],
    },
  },
  { at: 'GET /api/v1', body: { resources } },
  { at: `GET /apis/${GROUP}/v1beta1`, body: { resources: null } },
  { at: 'GET /apis/metrics.k8s.io/v1', status: 503, body: { message: 'away' } },
  { at: `GET /apis/${GROUP}`, body: { preferredVersion: { version: 'v1beta1' } } },
  { at: 'GET /api/v1/secrets', body: page(['a', 'b'], 'more') },
  { at: 'GET /api/v1/secrets', status: 410, body: { message: 'too old' } },
  { at: 'GET /api/v1/secrets', body: page(['a', 'b'], 'more') },
  { at: 'GET /api/v1/secrets', body: page(['c'], '') },
  { at: 'PATCH /api/v1/namespaces/default/secrets/a', body: {} },
  {
    at: 'PATCH /api/v1/namespaces/default/secrets/b',
    status: 500,
    body: { message: 'failed calling webhook "w.example.org": no route' },
  },
  {
    at: 'PATCH /api/v1/namespaces/default/secrets/c',
    status: 429,
    headers: { 'retry-after': '1' },
  },
  { at: `POST /apis/${GROUP}/v1beta1/storageversionmigrations`, status: 201, body: {} },
  { status: 200, body: { spec: { service: { name: 'm' } } } },
  { body: { status: { conditions: [{ type: 'Running', status: 'True' }] } } },
  { body: { status: { conditions: [{ type: 'Succeeded', status: 'True' }] } } },
  {
    at: 'GET /metrics',
    body: `${METRIC}{key_id_hash="sha256:aa",provider_name="trousseau"} 1.7e+09\n`,
  },
]

function page(names: readonly string[], next: string): object {
  const items = names.map((name) => ({ metadata: { name, namespace: 'default' } }))
  return { metadata: { continue: next }, items }
}

export const kubeApi: Surface = {
  name: 'kube_api',
  from: 'an API server, and the webhooks whose words it passes on',
  files: [
    ...['client', 'discovery', 'key_ids', 'rewrite', 'status', 'admission'],
    ...['storage_migration', 'go_json'],
  ].map((file) => `tools/kube/${file}.ts`),
  mutate: answerMutator(
    ['Succeeded', 'Failed', 'True', 'list', 'patch', 'a b', '..', GROUP],
    ['metadata', 'continue', 'items', 'name', 'namespace', 'conditions', 'message', 'resources'],
  ),
  open,
}

function open(): Promise<Target> {
  const http = new PlayedHttp()
  const sleep = new InstantSleep()
  return Promise.resolve({
    seeds: [bytesOf(JSON.stringify({ answers: HONEST }))],
    async run(input) {
      const { answers } = scriptIn(textOf(input))
      await using kube = connectKube(
        { server: 'https://kube:6443', tls: {} },
        { clock: systemClock, events: { emit: () => undefined } },
      )
      for (const work of [found, migrated, rewritten, measured]) {
        http.play(answers)
        await work(kube).catch(ignoreNamed)
        http.check()
      }
    },
    [Symbol.asyncDispose]() {
      http[Symbol.dispose]()
      sleep[Symbol.dispose]()
      return Promise.resolve()
    },
  })
}

async function found(kube: KubeClient): Promise<void> {
  const all = await findResources(kube, ['secrets', '*.*'], () => undefined)
  if (all.some(({ name }) => typeof name !== 'string')) throw new TypeError('No name')
}

async function migrated(kube: KubeClient): Promise<void> {
  const version = await migrationVersion(kube)
  if (version === undefined) return
  const stop = new AbortController()
  let left = PATIENCE
  const send = (request: KubeRequest) => {
    left -= 1
    if (left === 0) stop.abort()
    return kube.send(request)
  }
  const impatient = { ...kube, send }
  await migrateByController(impatient, version, SECRETS, stop.signal).catch((error: unknown) => {
    if (!stop.signal.aborted) throw error
  })
}

/** Every object that was listed is told of once, in one way or another. */
async function rewritten(kube: KubeClient): Promise<void> {
  let [total, told] = [0, 0]
  const { done, gone, failed, finished } = await rewrite(kube, SECRETS, {
    ...{ rate: Number.POSITIVE_INFINITY, dryRun: false, stop: new AbortController().signal },
    onTotal: (count) => {
      total = count
    },
    onDone: () => {
      told += 1
    },
    onFailed: (_object, error) => ignoreNamed(error),
  })
  if (done + gone + failed !== told || (finished && told !== total)) {
    throw new TypeError('Another number of objects was told than done')
  }
}

async function measured(kube: KubeClient): Promise<void> {
  await latestKeyIdHashes(kube, new AbortController().signal)
}
