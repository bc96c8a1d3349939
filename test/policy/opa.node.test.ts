/** The outside decision: the real Open Policy Agent, which allows, denies, is slow, dead, or answers nonsense. @module */

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { withinLimit } from '../../src/base/call.ts'
import { systemClock } from '../../src/base/clock.ts'
import type { KeyUse } from '../../src/base/gate.ts'
import { policyConfig } from '../../src/policy/config.ts'
import { makePolicy } from '../../src/policy/make.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { madeUpRoot } from '../_lib/policy/made_up_root.ts'
import { startOpa } from '../_lib/policy/opa.ts'
import { CALL, ENCRYPT } from '../_lib/policy/use.ts'
import { makeAuthority, makeCertificate } from '../_lib/remote/certificates.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const LOCKDOWN = 'sys/kernel/security/lockdown'
const REGO = `package trousseau

default allow := false

allow if {
  input.kernel.lockdown == "integrity"
  input.request.provider == "a"
  input.request.operation == "encrypt"
}

reasoned := {"allow": allow, "message": "OPA wants lockdown"}

undecided if input.kernel.lockdown == "never"
`

/** For tests in which answers get too old. */
const SHORT = { cacheFor: '400ms', timeout: '300ms' }

const test = suite('policy/opa', () => ({}))

async function policyWith(folder: TempFolder, opa: object) {
  const root = await madeUpRoot(folder.at('root'))
  const events = new RecordedEvents()
  const config = v.parse(policyConfig, {
    roots: root.roots,
    interval: '100ms',
    opa: {
      path: 'trousseau/allow',
      mode: 'enforce',
      noAnswer: 'deny',
      cacheFor: '30s',
      timeout: '20s',
      guards: ['encrypt', 'decrypt'],
      ...opa,
    },
  })
  const policy = await makePolicy(config, {
    clock: systemClock,
    events,
    version: '1',
    sockets: {},
    providers: { default: ['a', 'b'] },
    claimed: [],
  })
  const gate = policy.gate('default')
  return {
    root,
    events,
    policy,
    admit: async (change: Partial<KeyUse> = {}) => {
      const use = { ...ENCRYPT, ...change }
      await withinLimit(systemClock, 60_000, (call) => gate?.wait(use, call) ?? Promise.resolve())
      return gate?.admit(use)?.message
    },
    waits: (change: Partial<KeyUse>) => gate?.wait({ ...ENCRYPT, ...change }, CALL),
    status: () => gate?.refusal(ENCRYPT)?.message,
    [Symbol.asyncDispose]: () => policy.close(),
  }
}

test('it allows and denies by facts and request, and a fact that changes is asked about at once', async () => {
  await using folder = await tempFolder()
  await using opa = await startOpa(folder, REGO)
  await using one = await policyWith(folder, { address: opa.address })

  assert.is(await one.admit(), undefined)
  assert.is(one.status(), undefined)
  assert.is(
    await one.admit({ provider: 'b' }),
    'An outside decision refuses encrypt: Open Policy Agent decides no at trousseau/allow',
  )
  assert.match(String(await one.admit({ operation: 'decrypt' })), 'refuses decrypt')
  assert.is(await one.admit({ api: 'v1beta1' }), undefined, 'a kind of use that nobody prepared')

  await one.root.put(LOCKDOWN, '[none] integrity')
  await until('it denies', async () => (await one.admit()) !== undefined)
  assert.match(String(one.status()), 'decides no')
  await one.root.put(LOCKDOWN, 'none [integrity]')
  await until('it allows', async () => (await one.admit()) === undefined)
})

test('over a unix socket, and with its own words', async () => {
  await using folder = await tempFolder()
  await using opa = await startOpa(folder, REGO)
  const address = `unix://${opa.socket}`
  await using one = await policyWith(folder, { address, path: 'trousseau/reasoned' })

  assert.is(await one.admit(), undefined)
  assert.match(String(await one.admit({ provider: 'b' })), 'OPA wants lockdown')
})

test('over TLS with an authority of its own and a client certificate', async () => {
  await using folder = await tempFolder()
  const authority = await makeAuthority(folder.path, 'opa')
  const server = await makeCertificate(folder.path, 'opa-server', authority)
  const client = await makeCertificate(folder.path, 'opa-client', authority)
  await using opa = await startOpa(folder, REGO, [
    ...['--tls-cert-file', server.cert, '--tls-private-key-file', server.key],
    ...['--tls-ca-cert-file', authority.cert, '--authentication', 'tls'],
  ])
  const tls = { caFile: authority.cert, certFile: client.cert, keyFile: client.key }
  await using one = await policyWith(folder, { address: opa.address, tls })
  assert.is(await one.admit(), undefined)

  await using stranger = await policyWith(folder, {
    address: opa.address,
    tls: { caFile: authority.cert },
  })
  assert.match(String(await stranger.admit()), 'gives no answer')
})

test('deny: slow and dead are a refusal once the last answer is too old, and it comes back by itself', async () => {
  await using folder = await tempFolder()
  await using opa = await startOpa(folder, REGO)
  await using one = await policyWith(folder, { address: opa.address, ...SHORT })
  await until('it answers', async () => (await one.admit()) === undefined)

  opa.freeze()
  const refused = await until('no answer is a refusal', () => one.admit())
  assert.is(
    refused,
    `An outside decision refuses encrypt: Open Policy Agent at ${opa.address} gives no answer`,
  )
  opa.thaw()
  await until('it answers', async () => (await one.admit()) === undefined)

  const told = () => one.events.noticesOf('opa_answers').map(({ level }) => level)
  await opa.process.stop('SIGKILL')
  await until('no answer is a refusal', () => one.admit())
  await until('it tells that there is none', () => told().at(-1) === 'warn')
  await opa.process.start()
  await until('it answers', async () => (await one.admit()) === undefined)
  await until('it tells that there are answers again', () => told().at(-1) === 'info')
})

test('allow for a while: no answer lets pass until that is over, but not what was refused last', async () => {
  await using folder = await tempFolder()
  await using opa = await startOpa(folder, REGO)
  await using long = await policyWith(folder, {
    address: opa.address,
    cacheFor: SHORT.cacheFor,
    noAnswer: { allowFor: '24h' },
  })
  await using short = await policyWith(folder, {
    address: opa.address,
    cacheFor: SHORT.cacheFor,
    noAnswer: { allowFor: '1s' },
  })
  assert.is(await long.admit(), undefined)
  assert.match(String(await long.admit({ provider: 'b' })), 'decides no')
  await until('it answers', async () => (await short.admit()) === undefined)

  await opa.process.stop('SIGKILL')
  await until('the short while is over', () => short.admit())
  assert.is(await long.admit(), undefined)
  assert.match(String(await long.admit({ provider: 'b' })), 'decides no')
  await using late = await policyWith(folder, {
    address: opa.address,
    noAnswer: { allowFor: '24h' },
  })
  assert.is(await late.admit(), undefined, 'nobody ever answered')
})

test('a decision that is not defined is a refusal, whatever no answer means', async () => {
  await using folder = await tempFolder()
  await using opa = await startOpa(folder, REGO)
  const noAnswer = { allowFor: '24h' }
  for (const path of ['trousseau/undecided', 'trousseau/nowhere']) {
    await using one = await policyWith(folder, { address: opa.address, path, noAnswer })

    assert.match(String(await one.admit()), `has no decision at ${path}`)
  }
})

const NONSENSE: readonly (readonly [status: number, body: string])[] = [
  [200, '<html>'],
  [200, '{"result": "yes"}'],
  [200, '{"result": {"allow": "true"}}'],
  [200, '{"result": 1}'],
  [500, '{"result": true}'],
  [302, '{"result": true}'],
]

test('what is no decision is no answer, and nothing of it is quoted', async () => {
  await using folder = await tempFolder()
  for (const [status, body] of NONSENSE) {
    const server = createServer((_request, response) => {
      response.writeHead(status, { location: 'http://127.0.0.1:1/planted' }).end(body)
    }).listen(0, '127.0.0.1')
    await until('it listens', () => server.listening)
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    await using one = await policyWith(folder, { address })

    assert.match(String(await one.admit()), 'gives no answer', body)
    const [told] = one.events.noticesOf('opa_answers')
    assert.is(told?.level, 'warn')
    assert.not.match(told?.message ?? '', /yes|html|planted/)
    server.close()
  }
})

test('audit: a request waits for no answer', async () => {
  await using folder = await tempFolder()
  await using opa = await startOpa(folder, REGO)
  await using one = await policyWith(folder, { address: opa.address, mode: 'audit' })
  await one.policy.ready

  // A kind of use that nobody prepared, for whose answer an enforced decision waits.
  assert.is(one.waits({ api: 'v1beta1' }), undefined)
  assert.is(await one.admit({ api: 'v1beta1' }), undefined)
})

test('audit: what it denies passes and is told', async () => {
  await using folder = await tempFolder()
  await using opa = await startOpa(folder, REGO)
  await using one = await policyWith(folder, { address: opa.address, mode: 'audit' })

  assert.is(await one.admit({ provider: 'b' }), undefined)

  const [told] = one.events.of('policy')
  assert.equal([told?.rule, told?.outcome], ['opa', 'would_refuse'])
})

test.run()
