/** The client of the SPIFFE Workload API against a strict agent, and where none is. */

import { once } from 'node:events'
import { chmod, writeFile } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import process from 'node:process'
import { Server, ServerCredentials, status } from '@grpc/grpc-js'
import * as assert from 'uvu/assert'
import { KmsError, type KmsErrorCode } from '../../src/base/errors.ts'
import { fetchSvids } from '../../src/grpc/spiffe.ts'
import { SPIFFE_ID, startFakeSpiffe } from '../_lib/remote/fake_spiffe.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const OTHER_ID = 'spiffe://example.org/other'
const LIMIT_MS = 20_000
const NOBODY = 65_534
const test = suite('grpc/spiffe', () => ({}))

function ask(socketPath: string, { id = '', audience = 'vault', timeoutMs = LIMIT_MS } = {}) {
  const request = { socketPath, audience, id: id === '' ? undefined : id }
  return fetchSvids(request, { timeoutMs, signal: AbortSignal.timeout(LIMIT_MS * 2) })
}

async function refused(work: Promise<unknown>, code: KmsErrorCode, message: RegExp) {
  const error = await rejection(work)
  assert.instance(error, KmsError)
  assert.is((error as KmsError).code, code, String(error))
  assert.match((error as KmsError).message, message)
}

test('fetchSvids sends the header and the audience, and gives all SVIDs in the order of the agent', async () => {
  await using folder = await tempFolder()
  const path = folder.at('agent.sock')
  await using spiffe = await startFakeSpiffe(path)
  spiffe.agent.identities = [SPIFFE_ID, OTHER_ID]

  const svids = await ask(path)

  assert.equal(
    svids.map(({ id }) => id),
    [SPIFFE_ID, OTHER_ID],
  )
  // It signs them side by side, and whichever is done first is noted first.
  assert.equal(new Set(svids.map(({ jwt }) => jwt)), new Set(spiffe.agent.issued))
  assert.equal(spiffe.agent.requests[0]?.audience, ['vault'])
  assert.is(spiffe.agent.requests[0]?.spiffeId, '')
})

test('fetchSvids asks for the one identity that it is told', async () => {
  await using folder = await tempFolder()
  const path = folder.at('agent.sock')
  await using spiffe = await startFakeSpiffe(path)
  spiffe.agent.identities = [SPIFFE_ID, OTHER_ID]

  const svids = await ask(path, { id: OTHER_ID })

  assert.equal(
    svids.map(({ id }) => id),
    [OTHER_ID],
  )
})

test('fetchSvids gets another SVID as soon as the agent has rotated it', async () => {
  await using folder = await tempFolder()
  const path = folder.at('agent.sock')
  await using spiffe = await startFakeSpiffe(path)

  const [first] = await ask(path)
  const [same] = await ask(path)
  spiffe.agent.rotate()
  const [next] = await ask(path)

  assert.is(same?.jwt, first?.jwt)
  assert.is.not(next?.jwt, first?.jwt)
})

const REFUSALS: readonly (readonly [code: number, KmsErrorCode, RegExp])[] = [
  [status.PERMISSION_DENIED, 'denied', /issues no identity to this process.*: register one/],
  [status.INVALID_ARGUMENT, 'denied', /check auth\.spiffe\.audience and auth\.spiffe\.id/],
  [status.UNAVAILABLE, 'unavailable', /it is starting, or does not reach its SPIFFE server/],
  [status.RESOURCE_EXHAUSTED, 'throttled', /limits the rate/],
  [status.UNIMPLEMENTED, 'protocol', /is auth\.spiffe\.socket that of its Workload API\?/],
  [status.INTERNAL, 'protocol', /answers with the status INTERNAL$/],
]
for (const [code, expected, message] of REFUSALS) {
  test(`fetchSvids says in its own words what ${status[code]} of the agent means`, async () => {
    await using folder = await tempFolder()
    const path = folder.at('agent.sock')
    await using spiffe = await startFakeSpiffe(path)
    spiffe.agent.refusal = { code, details: 'planted words of the agent' }

    const work = ask(path)
    await refused(work, expected, message)
    await refused(work, expected, new RegExp(`^SPIFFE agent at "${path}" `))
    await refused(work, expected, /^(?!.*planted)/)
  })
}

test('fetchSvids names what is missing where nobody is registered, or not for the wanted id', async () => {
  await using folder = await tempFolder()
  const path = folder.at('agent.sock')
  await using _spiffe = await startFakeSpiffe(path)

  await refused(
    ask(path, { id: OTHER_ID }),
    'denied',
    /issues no identity.* or not auth\.spiffe\.id/,
  )
})

test('fetchSvids tells a socket that is not there from one that nobody listens at', async () => {
  await using folder = await tempFolder()
  await writeFile(folder.at('left'), '')

  await refused(ask(folder.at('none')), 'unavailable', /is not there: start it, or correct/)
  await refused(ask(folder.at('left/none')), 'unavailable', /is not there: start it, or correct/)
  await refused(ask(folder.at('left')), 'unavailable', /its socket is a leftover: start it/)
})

// Root may open every socket, and Deno cannot be somebody else for a while.
if (process.getuid?.() !== 0 || process.seteuid !== undefined) {
  test('fetchSvids says that this user may not open the socket', async () => {
    await using folder = await tempFolder()
    const path = folder.at('agent.sock')
    await using _spiffe = await startFakeSpiffe(path)
    await chmod(path, 0o000)

    const root = process.getuid?.() === 0
    try {
      if (root) process.seteuid?.(NOBODY)
      await refused(ask(path), 'denied', /this user may not open its socket/)
    } finally {
      if (root) process.seteuid?.(0)
    }
  })
}

test('fetchSvids gives up at its limit on an agent that hangs, and on one that only takes the connection, and leaves none open', async () => {
  await using folder = await tempFolder()
  const path = folder.at('agent.sock')
  await using spiffe = await startFakeSpiffe(path)
  spiffe.agent.hangs = true
  const taken: Socket[] = []
  const silent = createServer((socket) => taken.push(socket.resume()))
  silent.listen(folder.at('silent.sock'))
  await once(silent, 'listening')

  await refused(ask(path, { timeoutMs: 50 }), 'timeout', /gave no answer within 50 ms/)
  await refused(
    ask(folder.at('silent.sock'), { timeoutMs: 50 }),
    'timeout',
    /gave no answer within 50 ms/,
  )
  await until('the connection is ended', () => taken.length === 1 && taken[0]?.destroyed)
  silent.close()
})

test('fetchSvids rejects with the reason of its signal, before and during a call', async () => {
  await using folder = await tempFolder()
  const path = folder.at('agent.sock')
  await using spiffe = await startFakeSpiffe(path)
  spiffe.agent.hangs = true
  const controller = new AbortController()
  const request = { socketPath: path, audience: 'vault', id: undefined }
  const reason = new KmsError('Gave up', { code: 'cancelled' })

  const work = fetchSvids(request, { timeoutMs: LIMIT_MS, signal: controller.signal })
  controller.abort(reason)

  assert.is(await rejection(work), reason)
  assert.is(
    await rejection(fetchSvids(request, { timeoutMs: LIMIT_MS, signal: controller.signal })),
    reason,
  )
})

test('fetchSvids knows a socket of something else: HTTP/1, another gRPC service', async () => {
  await using folder = await tempFolder()
  const plain = createServer((socket) => {
    socket.on('error', () => socket.destroy()).resume()
    socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n')
  }).listen(folder.at('plain.sock'))
  await once(plain, 'listening')
  const other = new Server()
  await new Promise<void>((resolve, reject) => {
    other.bindAsync(
      `unix:${folder.at('other.sock')}`,
      ServerCredentials.createInsecure(),
      (error) => {
        if (error === null) resolve()
        else reject(error)
      },
    )
  })

  await refused(ask(folder.at('other.sock')), 'protocol', /that of its Workload API\?/)
  const error = await rejection(ask(folder.at('plain.sock'), { timeoutMs: 2_000 }))
  assert.instance(error, KmsError)
  assert.ok(['unavailable', 'protocol'].includes((error as KmsError).code), String(error))
  plain.close()
  other.forceShutdown()
})

test('fetchSvids takes no answer that is too long', async () => {
  await using folder = await tempFolder()
  const path = folder.at('agent.sock')
  await using spiffe = await startFakeSpiffe(path)
  spiffe.agent.answer = () => ({
    svids: [{ spiffeId: SPIFFE_ID, svid: 'planted.'.repeat(200_000) }],
  })

  await refused(ask(path), 'throttled', /answers more than 1048576 bytes/)
})

test.run()
