import { hash } from 'node:crypto'
import { once } from 'node:events'
import { link, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { connect, createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import * as assert from 'uvu/assert'
import { KmsError } from '../../src/base/errors.ts'
import { type AdminOptions, startAdmin } from '../../src/observe/admin.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { sceneOf } from '../_lib/observe/scenes.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const test = suite('observe/admin', () => ({}))

const CHECKS = [
  { name: 'endpoint/default', problem: undefined, spare: false },
  { name: 'vault-prod', problem: undefined, spare: true },
]
const PAGES = {
  metrics: {
    text: () => Promise.resolve('metric 1\n'),
    contentType: 'text/plain; version=0.0.4',
  },
  statusz: { document: () => sceneOf('well') },
  checks: () => CHECKS,
}

async function start(change: Partial<AdminOptions> = {}) {
  const events = new RecordedEvents()
  const server = await startAdmin({
    listen: { host: '127.0.0.1', port: 0 },
    events,
    problem: () => undefined,
    of: 'admin',
    pages: PAGES,
    ...change,
  })
  return { ...server, events, [Symbol.asyncDispose]: () => server.close() }
}

interface Options {
  readonly method?: string
  readonly host?: string
  readonly accept?: string
  readonly socketPath?: string
}

async function ask(
  address: string,
  path: string,
  { method = 'GET', host, accept = '*/*', socketPath }: Options = {},
) {
  const [hostname = '', port = ''] = address.split(':')
  const outgoing = request({
    ...(socketPath === undefined ? { hostname, port } : { socketPath }),
    path,
    method,
    headers: { host: host ?? 'localhost', accept },
  })
  outgoing.end()
  const [incoming] = await once(outgoing, 'response')
  let body = ''
  for await (const chunk of incoming) body += String(chunk)
  return { status: incoming.statusCode, headers: incoming.headers, body }
}

const PATHS: readonly [string, number, RegExp][] = [
  ['/', 200, /\/livez/],
  ['/livez', 200, /^ok\n$/],
  ['/readyz', 200, /^ok\n$/],
  [
    '/readyz?verbose',
    200,
    /^\[\+\]ping ok\n\[\+\]endpoint\/default ok\n\[\+\]vault-prod ok\nreadyz check passed\n$/,
  ],
  ['/livez?verbose', 200, /^\[\+\]ping ok\nlivez check passed\n$/],
  ['/readyz/vault-prod', 200, /^ok\n$/],
  ['/readyz/endpoint/default', 200, /^ok\n$/],
  ['/readyz?exclude=vault-prod', 200, /^ok\n$/],
  ['/readyz/vault-other', 404, /Wanted/],
  ['/livez/vault-prod', 404, /Wanted/],
  ['/metrics', 200, /^metric 1\n$/],
  ['/statusz', 200, /^\{\n {2}"version": "0.1.0"/],
  ['/other', 404, /Wanted/],
  ['/../livez', 404, /Wanted/],
]
for (const [path, status, body] of PATHS) {
  test(`GET ${path} answers ${status}`, async () => {
    await using admin = await start()

    const answer = await ask(admin.address, path)

    assert.is(answer.status, status)
    assert.match(answer.body, body)
    assert.is(answer.headers['cache-control'], 'no-store')
    assert.is(answer.headers['x-content-type-options'], 'nosniff')
  })
}

test('/readyz says what is wrong with 503, and /livez stays 200 [F10]', async () => {
  await using admin = await start({ problem: () => 'Key service is away' })

  const ready = await ask(admin.address, '/readyz')
  assert.equal([ready.status, ready.body], [503, 'Key service is away\n'])
  assert.is((await ask(admin.address, '/livez')).status, 200)
})

test('?verbose names the checks that fail, one line each, and exclude leaves one out', async () => {
  const checks = [
    { name: 'endpoint/default', problem: 'away\n[+]forged ok', spare: false },
    { name: 'vault-prod', problem: 'denied', spare: true },
  ]
  await using admin = await start({ pages: { ...PAGES, checks: () => checks } })

  const all = await ask(admin.address, '/readyz?verbose')
  const lines = [
    '[+]ping ok',
    '[-]endpoint/default failed: away [+]forged ok',
    '[-]vault-prod failed and is not needed now: denied',
    'readyz check failed',
  ]
  assert.equal([all.status, all.body], [503, `${lines.join('\n')}\n`])
  const one = await ask(admin.address, '/readyz/vault-prod')
  assert.equal([one.status, one.body], [503, 'denied\n'])
  const without = await ask(
    admin.address,
    '/readyz?verbose&exclude=endpoint/default&exclude=no-such',
  )
  assert.is(without.status, 200)
  assert.match(without.body, '[+]endpoint/default excluded: ok')
  assert.match(without.body, 'warn: some checks to exclude are not there')
})

test('/ is a page in a browser, under a policy that allows its own style and nothing else', async () => {
  await using admin = await start()

  const page = await ask(admin.address, '/', {
    accept: 'text/html,application/xhtml+xml,*/*;q=0.8',
  })
  const plain = await ask(admin.address, '/', { accept: '*/*' })

  assert.is(page.headers['content-type'], 'text/html; charset=utf-8')
  const [, style = ''] = /<style>(.*?)<\/style>/s.exec(page.body) ?? []
  const policy = String(page.headers['content-security-policy'])
  assert.match(policy, `style-src 'sha256-${hash('sha256', style, 'base64')}'`)
  assert.match(policy, /^default-src 'none'; /)
  assert.match(page.body, '<h1>Well for ')
  assert.match(plain.body, /^Trousseau\n/)
})

test('other methods are 405, and HEAD has no body', async () => {
  await using admin = await start()

  const post = await ask(admin.address, '/livez', { method: 'POST' })
  assert.equal([post.status, post.headers.allow], [405, 'GET, HEAD'])
  const head = await ask(admin.address, '/livez', { method: 'HEAD' })
  assert.equal([head.status, head.body], [200, ''])
})

for (const [title, request, status] of [
  [
    'a body is refused, and so is what follows it',
    'GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nbody',
    /^HTTP\/1\.1 400 /,
  ],
  ['a header that never ends is cut off', 'GET /livez HTTP/1.1\r\nHost: loc', /^HTTP\/1\.1 408 /],
] as const) {
  test(title, async () => {
    await using admin = await start()
    const [host = '', port = ''] = admin.address.split(':')
    const client = connect(Number(port), host)
    client.write(request)

    assert.match(await text(client), status)
  })
}

test('a page that fails is a 500 and an event, and the server lives', async () => {
  const broken = { text: () => Promise.reject(new Error('planted')), contentType: 'text/plain' }
  await using admin = await start({ pages: { ...PAGES, metrics: broken } })

  const answer = await ask(admin.address, '/metrics')

  assert.is(answer.status, 500)
  assert.not.match(answer.body, /planted/)
  assert.equal(admin.events.notices(), ['admin_listening', 'admin_failed'])
  assert.is((await ask(admin.address, '/livez')).status, 200)
})

test('a server for probes says whether all is well, and shows nothing else', async () => {
  const events = new RecordedEvents()
  let problem = ''
  await using server = await startAdmin({
    listen: { host: '127.0.0.1', port: 0 },
    of: 'probes',
    events,
    problem: () => (problem === '' ? undefined : problem),
  }).then((started) => ({ ...started, [Symbol.asyncDispose]: () => started.close() }))
  const statuses = async (paths: readonly string[]) => {
    const answers = await Promise.all(paths.map((path) => ask(server.address, path)))
    return answers.map(({ status }) => status)
  }

  assert.equal(await statuses(['/healthz', '/livez', '/readyz']), [200, 200, 200])
  assert.equal(await statuses(['/', '/metrics', '/statusz']), [404, 404, 404])
  assert.equal(await statuses(['/readyz/vault-prod', '/livez/ping']), [404, 404])
  assert.is((await ask(server.address, '/readyz?verbose')).body, 'ok\n')
  problem = 'planted-name: unavailable'
  assert.equal(await statuses(['/healthz', '/readyz']), [200, 503])
  assert.not.match((await ask(server.address, '/readyz')).body, /planted/)
  const taken = await rejection(
    startAdmin({
      listen: { host: '127.0.0.1', port: Number(server.address.split(':')[1]) },
      of: 'probes',
      events,
      problem: () => undefined,
    }),
  )
  assert.match(String(taken), /Server for probes cannot listen on .*choose another probes\.listen/)
})

test('a foreign Host is refused on loopback', async () => {
  await using admin = await start()

  for (const host of ['evil.example.org', 'evil.example.org:8787', 'localhost.evil.org']) {
    assert.is((await ask(admin.address, '/metrics', { host })).status, 403, host)
  }
  for (const host of ['localhost:1', 'LOCALHOST', '127.0.0.1', '127.1.2.3', '[::1]:8787']) {
    assert.is((await ask(admin.address, '/metrics', { host })).status, 200, host)
  }
})

test('port 0 picks a port, and a notice names it', async () => {
  await using admin = await start()

  assert.match(admin.address, /^127\.0\.0\.1:[1-9]\d+$/)
  assert.equal(admin.events.notices(), ['admin_listening'])
})

test('a unix socket works for its owner alone, also over a stale file', async () => {
  await using folder = await tempFolder()
  const path = folder.at('admin.sock')
  const stale = folder.at('stale.sock')
  const other = createServer().listen(stale)
  await once(other, 'listening')
  // Closing removes a socket by its name, so another name of it stays, and nobody answers there.
  await link(stale, path)
  other.close()
  await once(other, 'close')

  await using admin = await start({ listen: { path } })

  assert.is((await stat(path)).mode & 0o777, 0o600)
  assert.is((await ask(admin.address, '/livez', { socketPath: path })).status, 200)
})

test('a unix socket is gone after close()', async () => {
  await using folder = await tempFolder()
  const path = folder.at('admin.sock')
  const admin = await start({ listen: { path } })

  await admin.close()

  assert.equal(await readdir(folder.path), [])
})

test('a unix socket that somebody serves is refused and left alone', async () => {
  await using folder = await tempFolder()
  const path = folder.at('admin.sock')
  await using first = await start({ listen: { path } })

  const error = await rejection(start({ listen: { path } }))

  assert.instance(error, KmsError)
  assert.match((error as KmsError).message, /another process answers there/)
  assert.is((await ask(first.address, '/livez', { socketPath: path })).status, 200)
})

test('a file that is no socket is refused and left alone', async () => {
  await using folder = await tempFolder()
  const path = folder.at('admin.sock')
  await writeFile(path, 'mine')

  const error = await rejection(start({ listen: { path } }))

  assert.match((error as KmsError).message, /something that is no socket stands there/)
  assert.is(await readFile(path, 'utf8'), 'mine')
})

test('a port in use is refused with what to do', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as { port: number }
  try {
    const error = await rejection(start({ listen: { host: '127.0.0.1', port } }))
    assert.instance(error, KmsError)
    assert.match((error as KmsError).message, /another process listens there.*admin\.listen/)
  } finally {
    other.close()
  }
})

for (const [what, said = ''] of [
  ['keeps its connection', 'GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n'],
  ['is in the middle of a request', 'GET /livez HT'],
  ['asks nothing', ''],
]) {
  test(`close() does not wait for a client that ${what}`, async () => {
    const admin = await start()
    const [host = '', port = ''] = admin.address.split(':')
    const client = connect(Number(port), host)
    const closed = once(client, 'close')
    await once(client, 'connect')
    client.write(said)
    // An answer on a later connection shows that the server has taken the first one.
    await ask(admin.address, '/livez')
    client.resume()

    await admin.close()

    await closed
  })
}

test.run()
