/**
 * A thousand pods that start at once want a thousand tokens: how often the key service is asked for
 * them, on the socket alone and through a real kube-apiserver.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import { startApiServer } from '../_lib/cluster/api_server.ts'
import { isTaken, makeAccount, newToken } from '../_lib/cluster/service_accounts.ts'
import { socketOf, startScene, startSigner, withSigner } from '../_lib/cluster/signer_scene.ts'
import { figure } from '../_lib/figure.ts'
import { connectSigner, verifiedBy } from '../_lib/grpc/signer_client.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const test = suite('cluster/signer_burst', () => ({}), 300_000)
const PODS = 1_000
const LIMIT_MS = 60_000
/** So many are under way on the wire; the rest waits for them. */
const CONNECTIONS = 250

interface Burst {
  readonly good: readonly string[]
  readonly failed: readonly string[]
  readonly longestMs: number
}

async function atOnce(ask: (index: number) => Promise<string>): Promise<Burst> {
  const start = performance.now()
  let longestMs = 0
  const results = await Promise.allSettled(
    Array.from({ length: PODS }, async (_, index) => {
      const answer = await ask(index)
      longestMs = performance.now() - start
      return answer
    }),
  )
  return {
    good: results.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : [])),
    failed: results.flatMap((each) => (each.status === 'rejected' ? [String(each.reason)] : [])),
    longestMs: Math.round(longestMs),
  }
}

test('a thousand tokens at once: none fails, and OpenBao is asked for them in batches [J15]', async () => {
  await using scene = await startScene()
  const log = { level: 'debug', format: 'json' }
  await using plugin = await startSigner(scene, 'one', {}, { log })
  /** How many items each request to OpenBao had so far. */
  const batches = () =>
    plugin
      .events('provider_call')
      .filter(({ operation }) => operation === 'sign')
      .map(({ items }) => Number(items))
  const tell = async (what: string, { good, failed, longestMs }: Burst, from: number) => {
    const sent = await until('all that was sent is told', () => {
      const since = batches().slice(from)
      return since.reduce((sum, items) => sum + items, 0) >= good.length && since
    })
    const asked = `${sent.length} requests to OpenBao`
    figure(`${what}: ${good.length} good, ${failed.length} failed, ${longestMs} ms, ${asked}`)
    assert.equal(failed, [])
    assert.ok(sent.length < PODS / 2, asked)
  }

  using client = connectSigner(socketOf(scene), LIMIT_MS)
  const { keys } = await client.fetchKeys()
  const claimsOf = (index: number) => Buffer.from(`{"jti":"${index}"}`).toString('base64url')
  const signed = await atOnce(async (index) => {
    const token = await client.sign(claimsOf(index))
    return verifiedBy(keys, claimsOf(index), token) ? token.signature : 'wrong'
  })
  await tell(`${PODS} Signs at once`, signed, 0)
  assert.is(new Set(signed.good).size, PODS, 'each has a signature of its own')

  const tokenFlags = () => withSigner(socketOf(scene))
  const options = { folder: scene.folder.path, etcd: scene.etcd, tokenFlags }
  await using server = await startApiServer(options)
  await makeAccount(server)
  await using api = server.api.withConnections(CONNECTIONS)
  const before = batches().length
  const tokens = await atOnce(() => newToken({ api }, LIMIT_MS))
  await tell(`${PODS} TokenRequests at once`, tokens, before)
  for (const token of tokens.good.slice(0, 3)) assert.ok(await isTaken(server, token))
})

test.run()
