/** Every fault of the fake, as a plain client sees it. @module */

import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import { type Answer, ask } from '../../../_lib/remote/plain_http.ts'
import {
  badGateway,
  type Fault,
  internalError,
  overloaded,
  rateLimited,
} from '../../../_lib/services/vault/fake/faults.ts'
import { startFakeVault } from '../../../_lib/services/vault/fake.ts'
import { tempFolder } from '../../../_lib/temp_folder.ts'
import { suite } from '../../../_lib/uvu.ts'
import { until } from '../../../_lib/wait.ts'

const test = suite('services/vault/fake/faults', () => ({}))

const KEY = 'transit/keys/k8s-etcd'
const ENCRYPT = 'transit/encrypt/k8s-etcd'
const ITEM = { plaintext: Buffer.from('plain').toString('base64') }

async function setup() {
  const folder = await tempFolder()
  const cluster = await startFakeVault()
  const approle = await cluster.setupApprole(folder.path)
  const node = cluster.node(0)
  const token = approle.issueToken()
  return {
    cluster,
    node,
    read: () => ask(node.address, KEY, { token }),
    encrypt: (count: number) =>
      ask(node.address, ENCRYPT, {
        method: 'POST',
        token,
        body: { batch_input: Array.from({ length: count }, () => ITEM) },
      }),
    async [Symbol.asyncDispose]() {
      await cluster[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

function essence({ status, headers, text }: Answer) {
  return [status, headers['retry-after'], text]
}

const ANSWERS: readonly [name: string, fault: Fault, expected: readonly unknown[]][] = [
  [
    'a rate limit',
    rateLimited(KEY),
    [429, undefined, `{"errors":["request path \\"${KEY}\\": rate limit quota exceeded"]}`],
  ],
  [
    'a rate limit that names a time',
    rateLimited('k', '0'),
    [429, '0', '{"errors":["request path \\"k\\": rate limit quota exceeded"]}'],
  ],
  [
    'an overload',
    overloaded(),
    [503, undefined, '{"errors":["server overloaded, try again later"]}'],
  ],
  [
    'an internal error',
    internalError(),
    [500, undefined, '{"errors":["1 error occurred:\\n\\t* internal error\\n\\n"]}'],
  ],
  ['a status alone', { kind: 'answer', status: 404 }, [404, undefined, '{"errors":[]}']],
  ['a text', { kind: 'answer', status: 412, text: 'late' }, [412, undefined, 'late']],
  ['JSON of another shape', { kind: 'wrongShape' }, [200, undefined, '{"data":"other"}']],
]

for (const [name, fault, expected] of ANSWERS) {
  test(`${name} is answered as told, and nothing else is wrong`, async () => {
    await using one = await setup()
    one.node.fault(fault, { count: 1 })

    const first = await one.read()
    const second = await one.read()

    assert.equal(essence(first), expected)
    assert.is(second.status, 200)
  })
}

test('a page of a gateway is HTML with its status', async () => {
  await using one = await setup()
  one.node.fault(badGateway())

  const { status, headers, text } = await one.read()

  assert.equal([status, headers['content-type']], [502, 'text/html'])
  assert.match(text, '<html>')
})

test('JSON without its end cannot be read', async () => {
  await using one = await setup()
  one.node.fault({ kind: 'invalidJson' })

  const { status, json, text } = await one.read()

  assert.equal([status, json], [200, undefined])
  assert.match(text, '"request_id"')
})

test('a body is cut in half, and the connection closed', async () => {
  await using one = await setup()
  one.node.fault({ kind: 'halfBody' }, { count: 1 })

  const cut = await one.read()
  const whole = await one.read()

  assert.is(cut.failed, 'ECONNRESET')
  assert.is(whole.status, 200)
})

test('a body that stops halfway never ends', async () => {
  await using one = await setup()
  one.node.fault({ kind: 'stalledBody' })

  const { failed } = await ask(one.node.address, 'sys/health', { timeoutMs: 200 })

  assert.is(failed, 'ETIMEDOUT')
})

test('a connection is closed without an answer, before the request takes effect or after', async () => {
  await using one = await setup()
  const before = one.cluster.state.index
  one.node.fault({ kind: 'noAnswer' }, { count: 1 })
  const { failed } = await one.read()
  one.node.fault({ kind: 'noAnswer', done: true }, { count: 1 })

  const token = one.cluster.rootToken
  const made = await ask(one.node.address, 'transit/encrypt/made', {
    method: 'POST',
    token,
    body: ITEM,
  })

  assert.equal([failed, made.failed], ['ECONNRESET', 'ECONNRESET'])
  assert.is(one.cluster.state.index, before + 1)
  assert.ok(one.cluster.state.keys.has('transit/made'))
})

test('a body of more than 5 MB is sent', async () => {
  await using one = await setup()
  one.node.fault({ kind: 'oversize' })

  const { status, text } = await one.read()

  assert.is(status, 200)
  assert.ok(text.length > 5_242_880)
})

test('an answer that hangs comes when it is let go, and waits for nobody else', async () => {
  await using one = await setup()
  const hold = one.node.fault({ kind: 'hang' }, { path: KEY })
  let answered = false
  const held = one.read().finally(() => {
    answered = true
  })
  await until('it hangs', () => hold.hits === 1)

  const other = await ask(one.node.address, 'sys/health')
  const early = answered
  hold.release()

  assert.equal([other.status, early], [200, false])
  assert.is((await held).status, 200)
})

test('a client that gives up on a hanging answer is seen', async () => {
  await using one = await setup()
  one.node.fault({ kind: 'hang' })

  const { failed } = await ask(one.node.address, KEY, { timeoutMs: 100 })

  assert.is(failed, 'ETIMEDOUT')
  await until('the node sees it', () => one.node.requests.at(-1)?.aborted)
  assert.is(one.node.requests.at(-1)?.status, undefined)
})

test('a slow answer is the true one', async () => {
  await using one = await setup()
  const handle = one.node.fault({ kind: 'slow', ms: 30 })

  const { status } = await one.read()

  assert.equal([handle.hits, status], [1, 200])
})

test('the last result of a batch is missing', async () => {
  await using one = await setup()
  one.node.fault({ kind: 'fewerResults' })

  const { status, text } = await one.encrypt(3)

  assert.is(status, 200)
  assert.is(text.match(/vault:v1:/g)?.length, 2)
})

test('a smaller limit on strings counts keys and values alike', async () => {
  await using one = await setup()
  one.node.fault({ kind: 'maxStrings', strings: 21 })

  const ten = await one.encrypt(10)
  const eleven = await one.encrypt(11)

  assert.is(ten.status, 200)
  assert.equal(
    [eleven.status, eleven.text],
    [
      400,
      '{"errors":["refused JSON input due to high complexity: exceeded maximum number of strings"]}',
    ],
  )
})

test('a smaller limit on bodies is 413', async () => {
  await using one = await setup()
  one.node.fault({ kind: 'maxBody', bytes: 100 })

  const small = await one.encrypt(1)
  const large = await one.encrypt(10)

  assert.equal([small.status, large.status], [200, 413])
})

test('a fault meets the path, the method and the number of requests that it is for', async () => {
  await using one = await setup()
  const fault: Fault = { kind: 'answer', status: 500 }
  const handle = one.node.fault(fault, { path: /^transit\/enc/, method: 'POST', count: 2 })

  const statuses = [await one.read(), await one.encrypt(1), await one.encrypt(1), await one.read()]
  const after = await one.encrypt(1)

  assert.equal(
    statuses.map(({ status }) => status),
    [200, 500, 500, 200],
  )
  assert.equal([handle.hits, after.status], [2, 200])
})

test('a node that stops refuses connections, and starts again at the same address', async () => {
  await using one = await setup()

  await one.node.stop()
  const { failed } = await one.read()
  await one.node.start()

  assert.is(failed, 'ECONNREFUSED')
  assert.is((await one.read()).status, 200)
})

test('a node records what it was asked', async () => {
  await using one = await setup()

  await one.encrypt(7)

  const [received] = one.node.requests
  assert.equal(
    [received?.method, received?.path, received?.items, received?.status],
    ['POST', ENCRYPT, 7, 200],
  )
  assert.is(received?.headers['x-vault-request'], 'true')
  one.node.forgetRequests()
  assert.equal(one.node.requests, [])
})

test.run()
