/** What a rewrite does when the API server is busy, forgets, refuses or goes away. @module */

import * as assert from 'uvu/assert'
import { KmsError } from '../../../src/base/errors.ts'
import type { KubeAnswer, KubeClient, KubeRequest } from '../../../src/tools/kube/client.ts'
import { isAfter, type ObjectName, rewrite } from '../../../src/tools/kube/rewrite.ts'
import { rejection, suite } from '../../_lib/uvu.ts'

const SECRETS = { group: '', version: 'v1', name: 'secrets' }
const test = suite('tools/kube/rewrite', () => ({}))

type Answer = Partial<KubeAnswer> | Error

/** Lists the names in pages of two, and answers each patch with the next answer of its script, then 200. */
function fakeKube(
  names: readonly string[],
  script: Readonly<Record<string, readonly Answer[]>> = {},
) {
  const sent: KubeRequest[] = []
  const left = new Map(Object.entries(script).map(([name, answers]) => [name, [...answers]]))
  const kube: { -readonly [Key in keyof KubeClient]: KubeClient[Key] } = {
    server: 'https://kube.example.org:6443',
    send(request) {
      sent.push(request)
      const name =
        request.method === 'GET' ? 'list' : (request.path.split('?')[0]?.split('/').at(-1) ?? '')
      const next = left.get(name)?.shift()
      if (next instanceof Error) return Promise.reject(next)
      const plain = { retryAfterMs: undefined, serverTime: undefined }
      if (next !== undefined) return Promise.resolve({ status: 200, body: {}, ...plain, ...next })
      if (request.method !== 'GET') return Promise.resolve({ status: 200, body: {}, ...plain })
      return Promise.resolve({ status: 200, body: listed(names, request.path), ...plain })
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
  return { kube, sent }
}

/** Two at a time, as `continue` says. */
function listed(names: readonly string[], path: string): object {
  const from = Number(new URL(path, 'http://x').searchParams.get('continue') ?? 0)
  const items = names
    .slice(from, from + 2)
    .map((name) => ({ metadata: { name, namespace: 'default' } }))
  const more = from + 2 < names.length ? { continue: String(from + 2) } : {}
  return { metadata: more, items }
}

async function run(
  kube: KubeClient,
  more: { after?: ObjectName; dryRun?: boolean; stop?: AbortSignal } = {},
) {
  const told: string[] = []
  const failed: string[] = []
  const outcome = await rewrite(kube, SECRETS, {
    rate: 10_000,
    dryRun: false,
    stop: new AbortController().signal,
    onTotal: () => undefined,
    onDone: ({ name }) => told.push(name),
    onFailed: ({ name }, error) => failed.push(`${name}: ${error.message}`),
    ...more,
  })
  return { outcome, told, failed }
}

const NAMES = ['a', 'b', 'c', 'd', 'e']

test('every object gets one empty patch, and only names are asked for', async () => {
  const { kube, sent } = fakeKube(NAMES)

  const { outcome, told } = await run(kube)

  assert.equal(outcome, { done: 5, gone: 0, failed: 0, finished: true })
  assert.equal(told, NAMES)
  const patches = sent.filter(({ method }) => method === 'PATCH')
  assert.equal(
    patches.map(({ path }) => path.split('?')[0]).toSorted((a = '', b = '') => (a < b ? -1 : 1)),
    NAMES.map((name) => `/api/v1/namespaces/default/secrets/${name}`),
  )
  for (const { body, contentType, accept } of patches) {
    assert.equal(body, {})
    assert.is(contentType, 'application/merge-patch+json')
    assert.match(accept ?? '', /as=PartialObjectMetadata;/)
  }
  for (const { accept } of sent.filter(({ method }) => method === 'GET')) {
    assert.match(accept ?? '', /as=PartialObjectMetadataList;/)
  }
})

test('what passes is tried again: a rate limit as long as it asks, a conflict, a fault, a lost connection', async () => {
  const lost = new KmsError('no answer', { code: 'unavailable' })
  const { kube, sent } = fakeKube(NAMES, {
    a: [{ status: 429, retryAfterMs: 30 }],
    b: [{ status: 409 }],
    c: [{ status: 500 }, { status: 503 }],
    d: [lost],
  })

  const { outcome, failed } = await run(kube)

  assert.equal(outcome, { done: 5, gone: 0, failed: 0, finished: true })
  assert.equal(failed, [])
  assert.is(sent.filter(({ path }) => path.includes('/secrets/c')).length, 3)
})

test('an object that is gone is fine; one that is refused is named without what the API server said', async () => {
  const { kube } = fakeKube(NAMES, {
    b: [{ status: 404 }],
    c: [{ status: 403, body: { message: 'planted-message' } }],
  })

  const { outcome, failed, told } = await run(kube)

  assert.equal(outcome, { done: 3, gone: 1, failed: 1, finished: true })
  assert.is(failed.length, 1)
  assert.match(
    failed[0] ?? '',
    /c: PATCH .*secrets\/c at https:\/\/kube.example.org:6443 answered 403: this user may not/,
  )
  assert.not.match(failed[0] ?? '', /planted/)
  assert.equal(told, NAMES)
})

test('a list that is forgotten each time ends with an error that says so, and one that is forgotten for a while with all names', async () => {
  const forgets = (times: number) =>
    fakeKube(NAMES, { list: Array.from({ length: times }, (_, at) => page(at)).flat() })
  const page = (at: number): Answer[] => [
    { body: { metadata: { continue: `place-${at}` }, items: [] } },
    { status: 410 },
  ]

  const { told } = await run(forgets(5).kube)
  const { kube, sent } = forgets(20)
  const error = await rejection(run(kube))

  assert.equal(told, NAMES)
  assert.instance(error, KmsError)
  assert.match((error as KmsError).message, /secrets at .* answered 410: it forgets each time/)
  assert.is(sent.length, 12)
})

test('a list that leads back to a place where it was is refused', async () => {
  const body = { metadata: { continue: 'here' }, items: [{ metadata: { name: 'a' } }] }
  const { kube } = fakeKube(NAMES, { list: Array.from({ length: 20 }, () => ({ body })) })

  const error = await rejection(run(kube))

  assert.instance(error, KmsError)
  assert.is((error as KmsError).code, 'protocol')
})

test('a name with a space or a question mark is that object and no other', async () => {
  const { kube, sent } = fakeKube(['system:a b', 'c?d#e'])

  await run(kube)

  const patched = sent.filter(({ method }) => method === 'PATCH').map(({ path }) => path)
  assert.match(patched[0] ?? '', '/secrets/system:a%20b?')
  assert.match(patched[1] ?? '', '/secrets/c%3Fd%23e?')
})

const PLANTED = 'planted-message'
/** How API servers begin, and what follows is anybody's. */
const BLAMED: Readonly<Record<string, readonly [status: number, message: string, says: RegExp]>> = {
  'a webhook that denies': [
    400,
    `admission webhook "deny.example.org" denied the request: ${PLANTED}`,
    /answered 400: admission webhook "deny\.example\.org" does not allow it/,
  ],
  'a webhook that denies as an RBAC rule would': [
    403,
    `admission webhook "deny.example.org" denied the request: ${PLANTED}`,
    /answered 403: admission webhook "deny\.example\.org" does not allow it/,
  ],
  'a policy': [
    422,
    `secrets "a" is forbidden: ValidatingAdmissionPolicy 'frozen' with binding 'all' denied request: ${PLANTED}`,
    /answered 422: ValidatingAdmissionPolicy "frozen" does not allow it/,
  ],
  'a mutating policy': [
    403,
    `secrets "a" is forbidden: policy 'labels' with binding 'all' denied request: ${PLANTED}`,
    /answered 403: MutatingAdmissionPolicy "labels" does not allow it/,
  ],
  'an object that is not valid any more': [
    422,
    `Widget.example.org "a" is invalid: spec.size: ${PLANTED}`,
    /answered 422: the object is stored in a form that it takes no longer/,
  ],
  'a name that no webhook can have': [
    400,
    `admission webhook "${PLANTED} \u001b[31m" denied the request`,
    /answered 400: its log says why/,
  ],
}

for (const [what, [status, message, says]] of Object.entries(BLAMED)) {
  test(`rewrite says who kept an object, and nothing else of the answer: ${what}`, async () => {
    const { kube, sent } = fakeKube(['a', 'b'], { a: [{ status, body: { message } }] })

    const { outcome, failed } = await run(kube)

    assert.equal(outcome, { done: 1, gone: 0, failed: 1, finished: true })
    assert.match(failed[0] ?? '', says)
    assert.not.match(failed[0] ?? '', /planted/)
    assert.is(sent.filter(({ path }) => path.includes('/secrets/a')).length, 1)
  })
}

test('rewrite gives up early for a webhook that does not answer, and names it', async () => {
  const names = Array.from({ length: 40 }, (_, at) => `s${String(at).padStart(2, '0')}`)
  const message = `Internal error occurred: failed calling webhook "dead.example.org": failed to call webhook: Post "https://${PLANTED}": dial tcp`
  const dead = Array.from({ length: 9 }, () => ({ status: 500, body: { message } }))
  const { kube, sent } = fakeKube(names, Object.fromEntries(names.map((name) => [name, dead])))

  const { outcome, failed, told } = await run(kube)

  assert.is(outcome.finished, false)
  assert.is(outcome.stoppedBy, 'admission webhook "dead.example.org"')
  assert.ok(outcome.failed >= 8 && outcome.failed < 12, `${outcome.failed} failed`)
  assert.is(told.length, outcome.failed)
  assert.match(
    failed[0] ?? '',
    /answered 500: admission webhook "dead\.example\.org" does not answer/,
  )
  assert.not.match(failed.join(), /planted/)
  const patches = sent.filter(({ method }) => method === 'PATCH').length
  assert.ok(patches <= 4 * 3 + 8, `${patches} requests`)
})

test('rewrite goes on while a webhook that does not answer is asked about some objects only', async () => {
  const names = Array.from({ length: 24 }, (_, at) => `s${String(at).padStart(2, '0')}`)
  const message = 'conversion webhook for example.org/v1, Kind=Widget failed: Post "https://x"'
  const dead = Array.from({ length: 9 }, () => ({ status: 500, body: { message } }))
  const kept = names.filter((_, at) => at % 2 === 0)
  const { kube } = fakeKube(names, Object.fromEntries(kept.map((name) => [name, dead])))

  const { outcome, failed } = await run(kube)

  assert.equal(outcome, { done: 12, gone: 0, failed: 12, finished: true })
  assert.match(
    failed[0] ?? '',
    /conversion webhook for "example\.org\/v1, Kind=Widget" does not answer/,
  )
})

test('one that never succeeds ends after some tries, and the others are done', async () => {
  const { kube, sent } = fakeKube(NAMES, { b: Array.from({ length: 20 }, () => ({ status: 500 })) })

  const { outcome } = await run(kube)

  assert.equal(outcome, { done: 4, gone: 0, failed: 1, finished: true })
  assert.is(sent.filter(({ path }) => path.includes('/secrets/b')).length, 6)
})

test('a list that the API server has forgotten begins anew, without an object twice', async () => {
  const { kube, sent } = fakeKube(NAMES)
  const send = kube.send
  let forgot = false
  kube.send = (request) => {
    if (!forgot && request.path.includes('continue=4')) {
      forgot = true
      return Promise.resolve({
        status: 410,
        body: {},
        retryAfterMs: undefined,
        serverTime: undefined,
      })
    }
    return send(request)
  }

  const { told } = await run(kube)

  assert.equal(told, NAMES)
  assert.is(sent.filter(({ method }) => method === 'PATCH').length, 5)
})

test('a list that is refused says which right is missing', async () => {
  const { kube } = fakeKube(NAMES, { list: [{ status: 403 }] })

  const error = await rejection(run(kube))

  assert.instance(error, KmsError)
  assert.match(
    (error as KmsError).message,
    /GET \/api\/v1\/secrets at .* answered 403: .*docs\/rewriting.md/,
  )
})

test('it goes on after the object that it was stopped at, in the order of etcd', async () => {
  const { kube, sent } = fakeKube(NAMES)

  const { told } = await run(kube, { after: { namespace: 'default', name: 'b' } })

  assert.equal(told, ['c', 'd', 'e'])
  assert.is(sent.filter(({ method }) => method === 'PATCH').length, 3)
  assert.ok(isAfter({ namespace: 'b', name: 'a' }, { namespace: 'a', name: 'z' }))
  assert.ok(isAfter({ namespace: 'a', name: 'b' }, { namespace: 'a', name: 'a-' }))
})

test('a dry run patches nothing', async () => {
  const { kube, sent } = fakeKube(NAMES)

  const { outcome } = await run(kube, { dryRun: true })

  assert.is(outcome.done, 5)
  assert.not.ok(sent.some(({ method }) => method !== 'GET'))
})

test('stopped, it tells nothing as done that was not', async () => {
  const stop = new AbortController()
  const { kube } = fakeKube(NAMES)
  const send = kube.send
  kube.send = async (request) => {
    if (request.path.includes('/secrets/b'))
      stop.abort(new KmsError('stopped', { code: 'cancelled' }))
    request.signal?.throwIfAborted()
    return await send(request)
  }

  const { outcome, told } = await run(kube, { stop: stop.signal })

  assert.is(outcome.finished, false)
  assert.ok(told.length <= 1, told.join())
})

test.run()
