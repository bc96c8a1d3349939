/** `trousseau migrate` on a real API server of which a part is empty, away, or refuses. @module */

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { type ApiServer, startApiServer } from '../_lib/cluster/api_server.ts'
import { startEtcd } from '../_lib/cluster/etcd.ts'
import { inParallel } from '../_lib/cluster/kube_api.ts'
import { defineWidgets, WIDGETS, widget } from '../_lib/cluster/widgets.ts'
import { figure } from '../_lib/figure.ts'
import { bundleCommand } from '../_lib/plugin/process.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const PLANTED = 'planted-4f21-message'
const SECRETS = 40
const REGISTRATION = '/apis/admissionregistration.k8s.io/v1'
const test = suite('cluster/migrate_faults', () => ({}), 300_000)

interface Cluster extends AsyncDisposable {
  readonly server: ApiServer
  migrate(...flags: string[]): Promise<{ code: number; out: string; err: string }>
}

async function setup(): Promise<Cluster> {
  const folder = await tempFolder()
  const etcd = await startEtcd(folder.path)
  const server = await startApiServer({ folder: folder.path, etcd })
  await inParallel(SECRETS, (index) => server.api.createSecret(`secret-${index}`, { value: 'x' }))
  return {
    server,
    async migrate(...flags) {
      const args = ['migrate', '--kubeconfig', server.kubeconfig, '--method', 'rewrite']
      const all = [...args, '--rate', '2000', ...flags]
      const [command, more] = bundleCommand({ folder: folder.path }, all)
      const ended = promisify(execFile)(command, more)
      const { stdout, stderr } = await ended.catch(
        (error: typeof ended extends Promise<infer T> ? T : never) => error,
      )
      return { code: ended.child.exitCode ?? -1, out: stdout, err: stderr }
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      await etcd[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

test('migrate of a resource without objects, whose list is null, does the others too', async () => {
  await using cluster = await setup()
  const { api } = cluster.server
  const { body } = await api.send('GET', '/api/v1/pods')
  assert.equal(body.items ?? [], [], 'there is no pod')

  for (const flags of [['--dry-run'], []]) {
    const resources = ['--resources', 'pods,secrets,configmaps']
    const { code, out, err } = await cluster.migrate(...resources, ...flags)
    assert.is(code, 0, `${out}${err}`)
    assert.match(out, /^pods: 0 objects/m)
    assert.match(out, /^secrets: 40 objects/m)
    assert.match(out, /^configmaps: [1-9]\d* objects?/m)
  }
})

test("migrate '*.*' leaves out what an APIService without a server keeps, says so, and does the rest", async () => {
  await using cluster = await setup()
  const { api } = cluster.server
  await defineWidgets(api)
  await api.must('POST', WIDGETS, widget('one', 'x'))
  await api.must('POST', '/apis/apiregistration.k8s.io/v1/apiservices', {
    apiVersion: 'apiregistration.k8s.io/v1',
    kind: 'APIService',
    metadata: { name: 'v1.away.example.com' },
    spec: {
      group: 'away.example.com',
      version: 'v1',
      groupPriorityMinimum: 1000,
      versionPriority: 10,
      service: { name: 'nobody', namespace: 'default' },
      insecureSkipTLSVerify: true,
    },
  })
  await until('its group is listed', async () => {
    const { body } = await api.send('GET', '/apis')
    const away = body.groups.some(({ name }: { name: string }) => name === 'away.example.com')
    const { status } = await api.send('GET', '/apis/away.example.com/v1')
    return away && status === 503
  })

  const { code, out, err } = await cluster.migrate('--resources', '*.*')

  assert.is(code, 0, `${out}${err}`)
  assert.match(
    err,
    /Left out away\.example\.com\/v1: another server keeps its objects, not this etcd/,
  )
  assert.match(out, /^secrets: 40 objects written anew/m)
  assert.match(out, /^widgets\.example\.org: 1 object written anew/m)
  const named = await cluster.migrate('--resources', '*.away.example.com')
  assert.is(named.code, 1)
  assert.match(named.err, /answered 503: it, or another server that it asks for this API/)
})

test('migrate of a resource that cannot be listed does the others, and ends with 3', async () => {
  await using cluster = await setup()
  const { api } = cluster.server
  await defineWidgets(api)
  await api.must('POST', WIDGETS, widget('one', 'x'))
  // Its conversion webhook is nobody, and what is stored is of the other version.
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.org'
  const { spec } = await api.must('GET', path)
  const [first] = spec.versions
  const versions = [
    { ...first, storage: false, served: false },
    { ...first, name: 'v2', storage: true },
  ]
  const clientConfig = { url: 'https://127.0.0.1:1/convert', caBundle: '' }
  const webhook = { clientConfig, conversionReviewVersions: ['v1'] }
  const patch = { spec: { versions, conversion: { strategy: 'Webhook', webhook } } }
  await api.must('PATCH', path, patch, { contentType: 'application/merge-patch+json' })
  await until('the list fails', async () => {
    const { status } = await api.send('GET', WIDGETS.replace('/v1/', '/v2/'))
    return status >= 400 && status !== 404
  })

  const { code, out, err } = await cluster.migrate('--resources', 'widgets.example.org,secrets')

  assert.is(code, 3, `${out}${err}`)
  assert.match(
    out,
    /^widgets\.example\.org: NOT rewritten: .* answered (?:429|500): conversion webhook for "example\.org\/v1, Kind=Widget" does not answer/m,
  )
  assert.match(out, /^secrets: 40 objects written anew/m)
})

test('migrate names the policy and the webhook that keep an object, quotes neither, and gives up early for a dead one', async () => {
  await using cluster = await setup()
  const { api } = cluster.server
  await api.must('POST', `${REGISTRATION}/validatingadmissionpolicies`, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingAdmissionPolicy',
    metadata: { name: 'frozen.example.org' },
    spec: {
      failurePolicy: 'Fail',
      matchConstraints: {
        resourceRules: [
          {
            apiGroups: [''],
            apiVersions: ['v1'],
            operations: ['UPDATE'],
            resources: ['configmaps'],
          },
        ],
      },
      validations: [{ expression: 'false', message: PLANTED }],
    },
  })
  await api.must('POST', `${REGISTRATION}/validatingadmissionpolicybindings`, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingAdmissionPolicyBinding',
    metadata: { name: 'frozen-everywhere' },
    spec: { policyName: 'frozen.example.org', validationActions: ['Deny'] },
  })
  await api.must('POST', `${REGISTRATION}/validatingwebhookconfigurations`, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: 'dead' },
    webhooks: [
      {
        name: 'dead.example.org',
        clientConfig: { url: 'https://127.0.0.1:1/admit', caBundle: '' },
        rules: [
          { apiGroups: [''], apiVersions: ['v1'], operations: ['UPDATE'], resources: ['secrets'] },
        ],
        failurePolicy: 'Fail',
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
      },
    ],
  })
  const maps = '/api/v1/namespaces/default/configmaps'
  const metadata = { name: 'frozen', namespace: 'default' }
  await api.must('POST', maps, { apiVersion: 'v1', kind: 'ConfigMap', metadata })
  let turn = 0
  const tried = async (path: string) => {
    turn += 1
    const body = { metadata: { labels: { tried: `${turn}` } } }
    const options = { contentType: 'application/merge-patch+json' }
    return (await api.send('PATCH', path, body, options)).status
  }
  await until('both are in force', async () => {
    const secret = await tried('/api/v1/namespaces/default/secrets/secret-1')
    return secret === 500 && (await tried(`${maps}/frozen`)) === 422
  })

  const start = performance.now()
  const { code, out, err } = await cluster.migrate('--resources', 'secrets,configmaps')
  const tookMs = performance.now() - start

  assert.is(code, 3, `${out}${err}`)
  assert.match(err, /answered 500: admission webhook "dead\.example\.org" does not answer it/)
  assert.match(
    err,
    /answered 422: ValidatingAdmissionPolicy "frozen\.example\.org" does not allow it/,
  )
  assert.match(
    out,
    /^secrets: 0 objects written anew, \d+ FAILED, the rest was NOT tried: admission webhook "dead\.example\.org" does not answer$/m,
  )
  assert.match(out, /^configmaps: \d+ objects? written anew, \d+ FAILED$/m)
  assert.not.match(`${out}${err}`, /planted|127\.0\.0\.1:1\//)
  const [, failed = ''] = /(\d+) FAILED, the rest/.exec(out) ?? []
  assert.ok(Number(failed) < SECRETS / 2, `${failed} were tried`)
  figure(
    `a dead webhook: ${failed} of ${SECRETS} Secrets tried, all over after ${Math.round(tookMs)} ms`,
  )
})

test.run()
