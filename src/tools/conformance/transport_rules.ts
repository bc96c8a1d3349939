/** Rules T, about the socket and HTTP/2 on it. @module */

import { randomBytes } from 'node:crypto'
import { lstat } from 'node:fs/promises'
import { connectKms, METHODS, RpcError } from '../../grpc/client.ts'
import { reach } from '../../grpc/reach.ts'
import { codeOf, isUnknown, type Probe, same } from './probe.ts'
import { FRAME, headerBlock, isAck, RawConnection } from './raw_http2.ts'
import { Broken, expect, must, NotSeen, type Rule, should } from './rule.ts'

const UNIMPLEMENTED = 12
const UNAUTHENTICATED = 16
const OTHERS_WRITE = 0o002
const CONNECTIONS = 20
const CALLS_EACH = 10
/**
 * Node answers about a thousand resets with GOAWAY; only this probe's own connection is ended by
 * that.
 */
const RESETS = 1_100

/** Probed before the plugin has answered anything. */
export const SOCKET_RULES: readonly Rule[] = [
  must(
    'T1',
    'HTTP/2 in the clear on a unix socket',
    async ({ path, options: { timeoutMs } }) => {
      await reach(path, timeoutMs)
      using connection = new RawConnection(path)
      const settings = await connection.frame(({ type }) => type === FRAME.settings, timeoutMs)
      expect(settings !== undefined, 'the server sends no HTTP/2 settings')
      return ''
    },
    'nothing speaks HTTP/2 on the socket (T1)',
  ),
  must(
    'T2',
    'SETTINGS is the first frame of the server',
    async ({ path, options: { timeoutMs } }) => {
      using connection = new RawConnection(path)
      const first = await connection.frame(() => true, timeoutMs)
      expect(first?.type === FRAME.settings, `the first frame has type ${first?.type}`)
      return ''
    },
  ),
  should('T6', 'Not everybody on the node can connect', async ({ path }) => {
    const { mode } = await lstat(path)
    const shown = (mode & 0o777).toString(8).padStart(4, '0')
    expect((mode & OTHERS_WRITE) === 0, `the socket has mode ${shown}`)
    return `mode ${shown}`
  }),
  must('T11', 'A ping is answered', async ({ path, options: { timeoutMs } }) => {
    using connection = new RawConnection(path)
    const payload = randomBytes(8)
    connection.send({ type: FRAME.ping, flags: 0, stream: 0, payload })
    const pong = await connection.frame(
      (frame) => frame.type === FRAME.ping && isAck(frame) && same(frame.payload, payload),
      timeoutMs,
    )
    expect(pong !== undefined, 'no answer to a ping')
    return ''
  }),
  must('T20', 'No credentials, compression or other services are asked for', async (probe) => {
    const code = await probe.status().then(
      () => undefined,
      (error: unknown) => (error instanceof RpcError ? error.code : undefined),
    )
    expect(code !== UNAUTHENTICATED, 'Status asks for credentials, and kube-apiserver has none')
    return ''
  }),
]

/** Probed once Status answers. */
export const CALL_RULES: readonly Rule[] = [
  must('T3', 'Both forms of :authority are accepted', async (probe) => {
    const authority = encodeURIComponent(probe.path)
    await withClient(probe, authority, (client) =>
      probe.status(client).catch((cause: unknown) => {
        const problem = `Status with the escaped path (Kubernetes 1.29 to 1.31, and v1) answered ${codeOf(cause)}`
        throw new Broken(problem, { cause })
      }),
    )
    return ''
  }),
  must('T10', 'Many connections and calls at once', async (probe) => {
    const answers = Array.from({ length: CONNECTIONS }, () =>
      withClient(probe, 'localhost', (client) =>
        Promise.all(Array.from({ length: CALLS_EACH }, () => probe.status(client))),
      ),
    )
    const results = await Promise.allSettled(answers)
    const lost = results.filter(({ status }) => status === 'rejected').length
    expect(lost === 0, `${lost} of ${CONNECTIONS} connections had a failed Status`)
    return `${CONNECTIONS} connections, ${CALLS_EACH} calls each`
  }),
  must('T16', 'Unknown methods answer UNIMPLEMENTED', async ({ client }) => {
    for (const path of ['/v2.KeyManagementService/Other', '/other.Service/Other']) {
      const error = await client.raw(path, new Uint8Array()).then(
        () => undefined,
        (thrown: unknown) => thrown,
      )
      expect(error instanceof RpcError, `${path} was answered`)
      expect(error.code === UNIMPLEMENTED, `${path} answered ${codeOf(error)}`)
    }
    return ''
  }),
]

/** These rules look at everything that was answered, so they come last. */
export const AFTERTHOUGHTS: readonly Rule[] = [
  must('T17', 'Errors have a code and a message', ({ errors }) => {
    if (errors.length === 0) throw new NotSeen('no call failed')
    expect(
      errors.every(({ message }) => message !== ''),
      'an error came without a message',
    )
    return `${errors.length} errors`
  }),
  should('T18', 'Wrong bytes are answered with an error of their own', async ({ client }) => {
    const garbage = new Uint8Array([0xff, 0xff, 0xff, 0xff])
    const error = await client.raw(METHODS.v2.decrypt.path, garbage).then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    expect(error instanceof RpcError, 'Decrypt answered something that is not a request')
    expect(!isUnknown(error), 'the handler seems to throw: UNKNOWN for what is not a request')
    return codeOf(error)
  }),
  should('T19', 'A burst of resets on one connection leaves the others served', async (probe) => {
    await resetBurst(probe)
    await withClient(probe, 'localhost', (client) => probe.status(client)).catch(
      (cause: unknown) => {
        throw new Broken(`Status answered ${codeOf(cause)} after ${RESETS} resets`, { cause })
      },
    )
    return `${RESETS} resets`
  }),
]

/** This connection is opened first and examined last. */
export function idleRule(connection: RawConnection, openedAt: number): Rule {
  return should('T12', 'An idle connection stays open', async ({ options: { idleMs } }) => {
    const left = idleMs - (performance.now() - openedAt)
    const goaway = await connection.frame(({ type }) => type === FRAME.goaway, left)
    const seconds = ((performance.now() - openedAt) / 1000).toFixed(1)
    expect(goaway === undefined && !connection.closed, `closed within ${seconds} s`)
    return `open for ${seconds} s`
  })
}

/** Makes Status calls and resets each of them at once. */
async function resetBurst({ path, options: { timeoutMs } }: Probe): Promise<void> {
  using connection = new RawConnection(path)
  await connection.frame(({ type }) => type === FRAME.settings, timeoutMs)
  const fields = {
    ':method': 'POST',
    ':scheme': 'http',
    ':path': METHODS.v2.status.path,
    ':authority': 'localhost',
    'content-type': 'application/grpc',
    te: 'trailers',
  }
  const headers = headerBlock(fields)
  const cancel = new Uint8Array([0, 0, 0, 8])
  const END_HEADERS = 4
  for (let at = 0; at < RESETS; at += 1) {
    const stream = 2 * at + 1
    connection.send({ type: FRAME.headers, flags: END_HEADERS, stream, payload: headers })
    connection.send({ type: FRAME.reset, flags: 0, stream, payload: cancel })
  }
  const payload = randomBytes(8)
  connection.send({ type: FRAME.ping, flags: 0, stream: 0, payload })
  // Either is fine: the server has read all of it, or it has closed this connection.
  await connection.frame(
    (frame) => frame.type === FRAME.goaway || same(frame.payload, payload),
    timeoutMs,
  )
}

async function withClient<T>(
  { path, options: { timeoutMs } }: Probe,
  authority: string,
  run: (client: ReturnType<typeof connectKms>) => Promise<T>,
): Promise<T> {
  const client = connectKms(path, { timeoutMs, authority })
  try {
    return await run(client)
  } finally {
    client.close()
  }
}
