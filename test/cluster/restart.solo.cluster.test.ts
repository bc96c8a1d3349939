/**
 * What the restart of an API server costs with thousands of Secrets, under KMS v2, under
 * KMS v1, and without encryption.
 *
 * @module
 */

import * as assert from 'uvu/assert'
import { encryptionBy, encryptionOf } from '../_lib/cluster/api_server.ts'
import { type Cluster, type ClusterNode, startCluster } from '../_lib/cluster/cluster.ts'
import { type Etcd, startEtcd } from '../_lib/cluster/etcd.ts'
import { inParallel } from '../_lib/cluster/kube_api.ts'
import { seedsOf } from '../_lib/cluster/stored.ts'
import { figure } from '../_lib/figure.ts'
import { suite } from '../_lib/uvu.ts'

const RESTARTS = 3
/** Lists and watches that begin at once each ask for each seed; seven were seen. */
const DECRYPTS_OF_A_SEED = 20
/** Under v1, of each Secret. */
const DECRYPTS_OF_A_SECRET = 3
const MANY = 5_000
const FEWER = 2_000

/** How often Decrypt may be asked in a restart, at least and at most. */
type Bounds = (found: { readonly secrets: number; readonly seeds: number }) => [number, number]

const plain = {
  name: 'no encryption',
  encryption: () => encryptionBy([{ identity: {} }]),
  flags: [],
  bounds: (): [number, number] => [0, 0],
}
const v2 = {
  name: 'KMS v2',
  encryption: encryptionOf,
  flags: [],
  bounds: (({ seeds }) => [seeds, seeds * DECRYPTS_OF_A_SEED]) satisfies Bounds,
}
const v1 = {
  name: 'KMS v1',
  encryption: (socketPath: string) => encryptionOf(socketPath, { apiVersion: 'v1' }),
  flags: ['--feature-gates=KMSv1=true'],
  bounds: (({ secrets }) => [secrets, secrets * DECRYPTS_OF_A_SECRET]) satisfies Bounds,
}
const FORMS = [
  { ...plain, secrets: MANY },
  { ...v2, secrets: MANY },
  { ...plain, secrets: FEWER },
  { ...v1, secrets: FEWER },
]
type Form = (typeof FORMS)[number]

interface Restart {
  readonly readyMs: number
  /** From the start of the process to the end of a LIST of all Secrets. */
  readonly listedMs: number
  readonly decrypts: number
  readonly seeds: number
}

interface Bed {
  readonly form: Form
  readonly node: ClusterNode
  readonly etcd: Etcd
  readonly restarts: Restart[]
}

const test = suite('cluster/restart', () => ({}), 800_000)

test('a restart with 5,000 Secrets under v2 asks for each seed and not for each Secret; with 2,000 under v1 for each Secret', async () => {
  await using cluster = await startCluster()
  await using etcds = new AsyncDisposableStack()
  const beds: Bed[] = []
  for (const [index, form] of FORMS.entries()) {
    const etcd = etcds.use(await startEtcd(cluster.folder.at(`etcd-${index}`)))
    beds.push(await filled(cluster, etcd, `${index}`, form))
  }

  for (let times = 0; times < RESTARTS; times += 1) {
    for (const bed of beds) {
      const restart = await restarted(bed, times)
      const { secrets, bounds } = bed.form
      const [least, most] = bounds({ ...restart, secrets })
      const { decrypts } = restart
      assert.ok(decrypts >= least && decrypts <= most, `${bed.form.name}: ${decrypts} Decrypts`)
      bed.restarts.push(restart)
    }
  }

  for (const bed of beds) figure(told(bed, beds))
})

/** An API server with its Secrets, which is stopped again. */
async function filled(cluster: Cluster, etcd: Etcd, name: string, form: Form): Promise<Bed> {
  const { encryption, flags, secrets } = form
  const node = await cluster.addNode({ name, etcd, encryption, flags })
  await inParallel(secrets, (index) =>
    node.server.api.createSecret(`filled-${index}`, { value: `value ${index}` }),
  )
  await node.server.process.stop()
  return { form, node, etcd, restarts: [] }
}

async function restarted({ node, etcd, form }: Bed, times: number): Promise<Restart> {
  const { api, process } = node.server
  const decrypts = () => node.pluginMetric('trousseau_requests_total', { method: 'Decrypt' })
  const before = await decrypts()
  const start = performance.now()
  await process.start()
  const readyMs = performance.now() - start
  const { items } = await api.must('GET', '/api/v1/namespaces/default/secrets')
  const listedMs = performance.now() - start
  const asked = (await decrypts()) - before

  const values = items.flatMap(({ metadata, data }: Listed) =>
    metadata.name.startsWith('filled-') ? [`${metadata.name} ${atob(data.value)}`] : [],
  )
  const wanted = Array.from(
    { length: form.secrets },
    (_, index) => `filled-${index} value ${index}`,
  )
  assert.equal(new Set(values), new Set(wanted))
  const stored = await etcd.read('/registry/secrets/')
  const encrypted = [...stored.values()].filter((value) => value.includes('k8s:enc:kms:v2:'))
  // The next restart finds one seed more.
  await api.createSecret(`later-${times}`, { value: 'later' })
  await process.stop()
  return { readyMs, listedMs, decrypts: asked, seeds: seedsOf(encrypted) }
}

interface Listed {
  readonly metadata: { readonly name: string }
  readonly data: { readonly value: string }
}

/** @param beds the one without encryption and as many Secrets is what it is compared with */
function told({ form: { name, secrets }, restarts }: Bed, beds: readonly Bed[]): string {
  const median = (of: readonly Restart[], read: (restart: Restart) => number) =>
    of.map(read).toSorted((a, b) => a - b)[Math.floor(of.length / 2)] ?? 0
  const other = beds.find(({ form }) => form.secrets === secrets && form.name === plain.name)
  const [ready, listed] = [
    median(restarts, ({ readyMs }) => readyMs),
    median(restarts, ({ listedMs }) => listedMs),
  ]
  const ratio = listed / median(other?.restarts ?? [], ({ listedMs }) => listedMs)
  const seconds = (ms: number) => (ms / 1_000).toFixed(1)
  const asked = restarts.map(({ decrypts, seeds }) =>
    seeds === 0 ? `${decrypts}` : `${decrypts} for ${seeds} seed${seeds === 1 ? '' : 's'}`,
  )
  return `restart with ${secrets} Secrets, ${name}: ready after ${seconds(ready)} s, all listed after ${seconds(listed)} s (${ratio.toFixed(2)} times as long as without encryption); Decrypts: ${asked.join(', ')}`
}

test.run()
