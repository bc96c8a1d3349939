/**
 * Proxies between us and a service: some let us through, some refuse, and some are no proxies.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import * as assert from 'uvu/assert'
import { systemClock } from '../../../src/base/clock.ts'
import { KmsError, toKmsError } from '../../../src/base/errors.ts'
import { HttpClient } from '../../../src/remote/http/client.ts'
import { Transport, type TransportOptions } from '../../../src/remote/http/transport.ts'
import { RecordedEvents } from '../../_lib/events.ts'
import { ISSUING, makeAuthority, makeCertificate } from '../../_lib/remote/certificates.ts'
import { startTlsServer } from '../../_lib/remote/tls_server.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'
import { startTunnelProxy } from './tunnel_proxy.ts'

const test = suite('remote/http/tunnel', () => ({}))

async function setup() {
  const folder = await tempFolder()
  const root = await makeAuthority(folder.path, 'Root CA')
  const issuing = await makeCertificate(folder.path, 'Issuing CA', root, undefined, ISSUING)
  const server = await makeCertificate(folder.path, 'server', issuing)
  const up = await startTlsServer(server, [issuing])
  const events = new RecordedEvents()
  return {
    folder,
    root,
    issuing,
    server,
    up,
    events,
    /** `ok`, or why there was no answer. */
    async ask(
      proxy: Partial<TransportOptions['proxy']>,
      { caFile = root.cert, address = `https://${up.host}` } = {},
    ): Promise<string> {
      const options = { url: '', except: [], ...proxy }
      const about = { provider: 'v', tls: { caFile }, clock: systemClock, events }
      const transport = new Transport({ ...about, proxy: options })
      const http = new HttpClient(address, transport)
      try {
        const signal = AbortSignal.timeout(8_000)
        const { status } = await http.send({ method: 'GET', path: '/v1/x', headers: {}, signal })
        return status === 200 ? 'ok' : `status ${status}`
      } catch (error) {
        assert.instance(error, KmsError)
        assert.is(toKmsError(error).code, 'unavailable')
        return toKmsError(error).message
      } finally {
        await transport.close()
      }
    },
    async [Symbol.asyncDispose]() {
      await up[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

for (const [status, words] of [
  [400, /makes no tunnels/],
  [403, /lets nobody through to this host: have host and port allowed there/],
  [405, /makes no tunnels/],
  [407, /wants credentials, or others: check proxy\.credentialsFile/],
  [502, /does not reach the host/],
  [503, /does not serve now, or does not reach the host/],
  [504, /got no connection to the host in time/],
  [302, /wanted 200/],
] as const) {
  test(`a proxy that answers CONNECT with ${status} is named, and why; the service is not blamed`, async () => {
    await using one = await setup()
    await using proxy = await startTunnelProxy()
    proxy.refusal = status

    const said = await one.ask({ url: proxy.url })

    assert.match(
      said,
      `got no answer from https://${one.up.host}: the proxy ${proxy.url} answered ${status}: `,
    )
    assert.match(said, words)
    assert.not.match(said, /UND_ERR|planted|certificate/)
  })
}

test('a proxy that is away, silent, or no proxy is named too', async () => {
  await using one = await setup()
  await using silent = await startTunnelProxy()
  silent.refusal = 'silent'
  // Answers in something else than HTTP, as a TLS port does.
  const other = createServer((socket) => socket.end('planted words\r\n\r\n'))
  other.listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo

  const away = await one.ask({ url: 'http://127.0.0.1:1' })
  const late = await one.ask({ url: silent.url })
  const strange = await one.ask({ url: `http://127.0.0.1:${port}` })

  other.close()
  assert.match(away, /the proxy http:\/\/127\.0\.0\.1:1 cannot be used: connection refused/)
  assert.match(late, /the proxy \S+ cannot be used: no answer in 2000 ms/)
  assert.match(strange, /the proxy \S+ cannot be used: it speaks no HTTP there/)
  assert.not.match(strange, /planted/)
})

for (const [address, target] of [
  ['https://[::1]:8200', '[::1]:8200'],
  ['https://[fd00::1]', '[fd00::1]:443'],
  ['https://vault.example.org', 'vault.example.org:443'],
  ['https://gate.example.org:8443/vault', 'gate.example.org:8443'],
] as const) {
  test(`a proxy is asked for a way to ${target} where the address is ${address}`, async () => {
    await using one = await setup()
    await using proxy = await startTunnelProxy()
    proxy.refusal = 502

    await one.ask({ url: proxy.url }, { address })

    assert.is(proxy.asked[0]?.target, target)
  })
}

test('a proxy that wants credentials for http:// is told from the service too', async () => {
  await using one = await setup()
  const proxy = createHttpServer((_request, response) => response.writeHead(407).end('planted'))
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const { port } = proxy.address() as AddressInfo

  const said = await one.ask(
    { url: `http://127.0.0.1:${port}` },
    { address: `http://${one.up.host}` },
  )

  proxy.close()
  assert.match(said, /the proxy wants credentials, or others: check proxy\.credentialsFile/)
})

for (const [what, content, credentials] of [
  ['spaces', 'user:correct horse \n', 'user:correct horse '],
  ['letters beyond Latin-1', 'user:пароль-密\r\n', 'user:пароль-密'],
  ['a byte order mark before it', '\uFEFFuser:pass', 'user:pass'],
  ['colons', 'user:a:b:c\n', 'user:a:b:c'],
] as const) {
  test(`a proxy's password with ${what} arrives as it stands in the file`, async () => {
    await using one = await setup()
    await using proxy = await startTunnelProxy()
    const credentialsFile = one.folder.at('credentials')
    await writeFile(credentialsFile, content)

    assert.is(await one.ask({ url: proxy.url, credentialsFile }), 'ok')

    const token = proxy.asked[0]?.token?.replace('Basic ', '') ?? ''
    assert.is(Buffer.from(token, 'base64').toString('utf8'), credentials)
    assert.is(proxy.asked[0]?.target, one.up.host)
  })
}

for (const content of [
  '',
  'planted',
  'user:planted\nuser:second',
  ':planted',
  'user:pla\u0007nted',
]) {
  test(`a credentials file with ${JSON.stringify(content.replaceAll('planted', '…'))} is refused, and not quoted`, async () => {
    await using one = await setup()
    await using proxy = await startTunnelProxy()
    const credentialsFile = one.folder.at('credentials')
    await writeFile(credentialsFile, content)

    const said = await one.ask({ url: proxy.url, credentialsFile })

    assert.match(said, credentialsFile)
    assert.match(said, /wanted one line, user:password/)
    assert.not.match(said, /pla.?nted/)
    assert.equal(proxy.asked, [])
  })
}

test('an issuing authority alone is trusted for the proxy too, and the service behind it is looked at', async () => {
  await using one = await setup()
  await using proxy = await startTunnelProxy([one.server, one.issuing])

  assert.is(await one.ask({ url: proxy.url }, { caFile: one.issuing.cert }), 'ok')

  const kinds = one.events.of('certificate').map(({ kind }) => kind)
  assert.equal(new Set(kinds), new Set(['server', 'authority']))
})

test('which of the two is not trusted is said: the proxy, or the service behind it', async () => {
  await using one = await setup()
  const other = await makeAuthority(one.folder.path, 'Other CA')
  const theirs = await makeCertificate(one.folder.path, 'their-proxy', other)
  await using strange = await startTunnelProxy([theirs])
  await using plain = await startTunnelProxy()

  const ofProxy = await one.ask({ url: strange.url })
  assert.match(ofProxy, `the proxy ${strange.url} cannot be used: its certificate is not trusted`)

  const ofService = await one.ask({ url: plain.url }, { caFile: other.cert })
  assert.match(
    ofService,
    `got no answer from https://${one.up.host}: its certificate is not trusted`,
  )
  assert.match(ofService, 'it shows "server", issued by "Issuing CA"')
})

test.run()
