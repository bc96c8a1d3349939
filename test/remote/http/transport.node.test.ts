/** Connections over TLS while files change, through proxies and to sockets; against servers of Node's own. @module */

import { once } from 'node:events'
import { mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Socket,
  type Server as TcpServer,
} from 'node:net'
import { TLSSocket } from 'node:tls'
import * as assert from 'uvu/assert'
import { systemClock } from '../../../src/base/clock.ts'
import type { KmsError } from '../../../src/base/errors.ts'
import { HttpClient } from '../../../src/remote/http/client.ts'
import { goesThroughProxy } from '../../../src/remote/http/proxy.ts'
import type { TlsOptions } from '../../../src/remote/http/tls_files.ts'
import { Transport, type TransportOptions } from '../../../src/remote/http/transport.ts'
import { RecordedEvents } from '../../_lib/events.ts'
import { combined, makeAuthority, makeCertificate } from '../../_lib/remote/certificates.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { rejection, suite } from '../../_lib/uvu.ts'
import { until } from '../../_lib/wait.ts'

const test = suite('remote/http/transport', () => ({}))

class Closers implements AsyncDisposable {
  readonly #all: (() => Promise<unknown>)[] = []

  add(close: () => Promise<unknown>): void {
    this.#all.push(close)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#all.toReversed()) await close()
  }
}

async function listening(
  server: Server | TcpServer,
  closers: Closers,
  path?: string,
): Promise<string> {
  if (path === undefined) server.listen(0, '127.0.0.1')
  else server.listen(path)
  await once(server, 'listening')
  closers.add(async () => {
    const closed = once(server, 'close')
    server.close()
    if ('closeAllConnections' in server) server.closeAllConnections()
    await closed
  })
  return path === undefined ? `127.0.0.1:${(server.address() as AddressInfo).port}` : path
}

async function setup() {
  const closers = new Closers()
  const folder = await tempFolder()
  closers.add(async () => await folder[Symbol.asyncDispose]())
  const authority = await makeAuthority(folder.path, 'ca')
  const certificate = await makeCertificate(folder.path, 'server', authority)
  const events = new RecordedEvents()
  /** Who connected, by the name in the client's certificate. */
  const clients: string[] = []
  const server = createTlsServer(
    {
      cert: await readFile(certificate.cert),
      key: await readFile(certificate.key),
      requestCert: true,
      rejectUnauthorized: false,
    },
    (request, response) => {
      const { socket } = request
      if (socket instanceof TLSSocket) {
        clients.push(String(socket.getPeerCertificate().subject?.CN ?? 'nobody'))
      }
      response.end('{}')
    },
  )
  const host = await listening(server, closers)
  const client = (tls: TlsOptions, more: Partial<TransportOptions> = {}) => {
    const transport = new Transport({ provider: 'v', tls, clock: systemClock, events, ...more })
    closers.add(() => transport.close())
    return { transport, http: new HttpClient(`https://${host}`, transport) }
  }
  return { closers, folder, authority, server, host, events, clients, client }
}

function get(http: HttpClient) {
  const signal = AbortSignal.timeout(5_000)
  return http.send({ method: 'GET', path: '/', headers: {}, signal })
}

test('an authority that is replaced together with the certificate is followed within the request', async () => {
  const one = await setup()
  await using _ = one.closers
  const caFile = one.folder.at('trusted.pem')
  await writeFile(caFile, await readFile(one.authority.cert))
  const { http } = one.client({ caFile })
  assert.is((await get(http)).status, 200)

  const next = await makeAuthority(one.folder.path, 'next')
  const made = await makeCertificate(one.folder.path, 'server-2', next)
  one.server.closeAllConnections()
  Object(one.server).setSecureContext({
    cert: await readFile(made.cert),
    key: await readFile(made.key),
  })
  await writeFile(caFile, await readFile(next.cert))

  assert.is((await get(http)).status, 200)
  assert.ok(one.events.notices().includes('tls_files_changed'))
})

test('it is followed too where the look of each second sees the change before the request fails', async () => {
  const one = await setup()
  await using _ = one.closers
  const caFile = one.folder.at('trusted.pem')
  await writeFile(caFile, await readFile(one.authority.cert))
  let monotonic = 0
  const clock = { ...systemClock, monotonic: () => monotonic }
  const { transport } = one.client({ caFile }, { clock })
  // Holds a connection up until the look that the request brings about is done.
  const relay = createTcpServer((socket) => {
    void until('the files are seen', () => transport.changes > before).then(() => {
      const onward = connect(Number(one.host.split(':')[1]), '127.0.0.1')
      socket.pipe(onward).pipe(socket)
      for (const each of [socket, onward]) each.on('error', () => each.destroy())
    })
  })
  const http = new HttpClient(`https://${await listening(relay, one.closers)}`, transport)
  const next = await makeAuthority(one.folder.path, 'next')
  const made = await makeCertificate(one.folder.path, 'server-2', next)
  await transport.connections(http.address)
  const before = transport.changes
  Object(one.server).setSecureContext({
    cert: await readFile(made.cert),
    key: await readFile(made.key),
  })
  await writeFile(caFile, await readFile(next.cert))
  monotonic += 2_000

  assert.is((await get(http)).status, 200)
})

test('a client certificate is followed when a link to it is swapped, as projected volumes do', async () => {
  const one = await setup()
  await using _ = one.closers
  for (const name of ['first', 'second']) {
    await mkdir(one.folder.at(name))
    const made = await makeCertificate(one.folder.path, `node-${name}`, one.authority)
    await writeFile(`${one.folder.at(name)}/client.pem`, await combined(made))
  }
  await symlink('first', one.folder.at('data'))
  const certFile = `${one.folder.at('data')}/client.pem`
  const { http, transport } = one.client({ caFile: one.authority.cert, certFile })
  await get(http)

  await symlink('second', one.folder.at('data.new'))
  await rename(one.folder.at('data.new'), one.folder.at('data'))
  assert.is(await transport.refresh(), true)
  await get(http)

  assert.equal(one.clients, ['node-first', 'node-second'])
})

test('a file that is half written, or gone, changes nothing; it is told once', async () => {
  const one = await setup()
  await using _ = one.closers
  const caFile = one.folder.at('trusted.pem')
  const whole = await readFile(one.authority.cert, 'utf8')
  await writeFile(caFile, whole)
  const { http, transport } = one.client({ caFile })
  await get(http)

  await writeFile(caFile, whole.slice(0, 100))
  assert.is(await transport.refresh(), false)
  assert.is(await transport.refresh(), false)
  await rm(caFile)
  assert.is(await transport.refresh(), false)

  assert.is((await get(http)).status, 200)
  assert.is(one.events.notices().filter((what) => what === 'tls_files_refused').length, 2)
})

test('a folder of authorities is trusted, and what is no certificate by its name is left alone', async () => {
  const one = await setup()
  await using _ = one.closers
  const caDir = one.folder.at('authorities')
  await mkdir(caDir)
  const other = await makeAuthority(one.folder.path, 'other')
  await writeFile(`${caDir}/a.crt`, await readFile(other.cert))
  await writeFile(`${caDir}/b.pem`, await readFile(one.authority.cert))
  await writeFile(`${caDir}/README`, 'not a certificate')

  assert.is((await get(one.client({ caDir }).http)).status, 200)
})

test('an empty folder, a text that is no certificate and a key of another certificate are each refused with words', async () => {
  const one = await setup()
  await using _ = one.closers
  await mkdir(one.folder.at('empty'))
  await writeFile(one.folder.at('text.pem'), 'planted text')
  const { cert } = await makeCertificate(one.folder.path, 'one', one.authority)
  const { key } = await makeCertificate(one.folder.path, 'two', one.authority)
  const cases: [TlsOptions, RegExp][] = [
    [{ caDir: one.folder.at('empty') }, /has no \.pem or \.crt file/],
    [{ caFile: one.folder.at('text.pem') }, /no PEM certificates/],
    [{ certFile: cert, keyFile: key }, /TLS files cannot be used/],
    [{ certFile: one.folder.at('absent') }, /of tls\.certFile: there is no such file or folder/],
  ]

  for (const [tls, message] of cases) {
    const error = (await rejection(get(one.client(tls).http))) as KmsError

    assert.is(error.code, 'unavailable')
    assert.match(error.message, message)
    assert.not.match(error.message, /planted/)
  }
})

test('skipping verification works, and is told as an error at every start', async () => {
  const one = await setup()
  await using _ = one.closers

  const { http } = one.client({ dangerouslySkipVerification: true })

  assert.is((await get(http)).status, 200)
  const [notice] = one.events.of('notice')
  assert.is(notice?.what, 'tls_not_verified')
  assert.is(notice?.level, 'error')
})

test('how long the certificates of server, authority and client are good for is told once a day, with a warning near the end', async () => {
  const one = await setup()
  await using _ = one.closers
  const made = await makeCertificate(one.folder.path, 'node', one.authority)
  let now = Date.now()
  let monotonic = 0
  const clock = { ...systemClock, now: () => now, monotonic: () => monotonic }
  const tls = { caFile: one.authority.cert, certFile: made.cert, keyFile: made.key }
  const { http, transport } = one.client(tls, { clock })

  await get(http)
  await get(http)
  const told = () => one.events.of('certificate')
  assert.equal(
    new Set(told().map(({ kind, near }) => `${kind} ${near}`)),
    new Set(['authority false', 'client false', 'server false']),
  )

  now += 47 * 3_600_000
  monotonic += 25 * 3_600_000
  await transport.refresh()
  assert.equal(
    told()
      .slice(3)
      .map(({ kind, near }) => `${kind} ${near}`),
    ['authority true', 'client true'],
  )
})

test('a proxy is used with its credentials, and not for what is excepted', async () => {
  const one = await setup()
  await using _ = one.closers
  const seen: string[] = []
  const proxy = createServer()
  proxy.on('connect', (request, socket: Socket) => {
    seen.push(`${request.url} ${request.headers['proxy-authorization']}`)
    const [host = '', port = ''] = (request.url ?? '').split(':')
    const onward = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      onward.pipe(socket).pipe(onward)
    })
    onward.on('error', () => socket.destroy())
    socket.on('error', () => onward.destroy())
  })
  const proxyHost = await listening(proxy, one.closers)
  const credentialsFile = one.folder.at('proxy-credentials')
  await writeFile(credentialsFile, 'user:pass\n')
  const options = { url: `http://${proxyHost}`, credentialsFile }
  const tls = { caFile: one.authority.cert }

  const through = one.client(tls, { proxy: { ...options, except: ['10.0.0.0/8'] } })
  assert.is((await get(through.http)).status, 200)
  await through.transport.close()
  assert.equal(seen, [`${one.host} Basic ${btoa('user:pass')}`])

  const around = one.client(tls, { proxy: { ...options, except: ['127.0.0.0/8'] } })
  assert.is((await get(around.http)).status, 200)
  assert.is(seen.length, 1)
})

test('a unix socket is an address too', async () => {
  const one = await setup()
  await using _ = one.closers
  const path = await listening(
    createServer((_request, response) => response.end('{}')),
    one.closers,
    one.folder.at('agent.sock'),
  )
  const { transport } = one.client({})

  assert.is((await get(new HttpClient(`unix://${path}`, transport))).status, 200)
})

for (const [host, except, through] of [
  ['vault.example.org', [], true],
  ['vault.example.org', ['vault.example.org'], false],
  ['vault.example.org', ['.example.org'], false],
  ['vault.example.org', ['*.example.org'], false],
  ['example.org', ['.example.org'], false],
  ['badexample.org', ['.example.org'], true],
  ['vault.example.org', ['example.org'], true],
  ['VAULT.example.org', ['vault.EXAMPLE.org'], false],
  ['10.1.2.3', ['10.0.0.0/8'], false],
  ['11.1.2.3', ['10.0.0.0/8'], true],
  ['[fd00::1]', ['fd00::/8'], false],
  ['vault', ['10.0.0.0/8'], true],
] as const) {
  test(`${host} with exceptions ${JSON.stringify(except)} goes ${through ? 'through the proxy' : 'around it'}`, () => {
    assert.is(goesThroughProxy(host, except), through)
  })
}

test.run()
