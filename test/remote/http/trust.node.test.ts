/**
 * Which certificates a connection trusts, and what it says of others; against servers of Node's
 * own.
 *
 * @module
 */

import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { systemClock } from '../../../src/base/clock.ts'
import { KmsError, toKmsError } from '../../../src/base/errors.ts'
import { HttpClient } from '../../../src/remote/http/client.ts'
import type { TlsOptions } from '../../../src/remote/http/tls_files.ts'
import { Transport, type TransportOptions } from '../../../src/remote/http/transport.ts'
import { RecordedEvents } from '../../_lib/events.ts'
import {
  type CertificateFiles,
  type CertificateUse,
  CLIENT_ONLY,
  ISSUING,
  makeAuthority,
  makeCertificate,
  SHA1,
  SHORT_KEY,
} from '../../_lib/remote/certificates.ts'
import { startTlsServer } from '../../_lib/remote/tls_server.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'

const HOUR_MS = 3_600_000
const test = suite('remote/http/trust', () => ({}))

/** Root, an issuing authority below it, and a certificate of that for loopback. */
async function chainIn(folder: string) {
  const root = await makeAuthority(folder, 'Root CA')
  const issuing = await makeCertificate(folder, 'Issuing CA', root, undefined, ISSUING)
  const server = await makeCertificate(folder, 'server', issuing)
  return { root, issuing, server }
}

/** `ok`, or why there was no answer. */
async function ask(host: string, tls: TlsOptions, more: Partial<TransportOptions> = {}) {
  const events = new RecordedEvents()
  const transport = new Transport({ provider: 'v', tls, clock: systemClock, events, ...more })
  const http = new HttpClient(`https://${host}`, transport)
  try {
    const signal = AbortSignal.timeout(5_000)
    const { status } = await http.send({ method: 'GET', path: '/', headers: {}, signal })
    assert.is(status, 200)
    return { said: 'ok', events }
  } catch (error) {
    assert.instance(error, KmsError)
    assert.is(toKmsError(error).code, 'unavailable')
    return { said: toKmsError(error).message, events }
  } finally {
    await transport.close()
  }
}

async function copies(folder: string, files: Readonly<Record<string, CertificateFiles>>) {
  await mkdir(folder)
  for (const [name, { cert }] of Object.entries(files)) {
    await writeFile(`${folder}/${name}`, await readFile(cert))
  }
  return folder
}

test('an issuing authority alone in caFile, or in caDir, is trusted, as Go takes it', async () => {
  await using folder = await tempFolder()
  const { issuing, root, server } = await chainIn(folder.path)
  await using up = await startTlsServer(server, [issuing])
  const caDir = await copies(folder.at('authorities'), { 'issuing.pem': issuing })

  assert.is((await ask(up.host, { caFile: issuing.cert })).said, 'ok')
  assert.is((await ask(up.host, { caDir })).said, 'ok')
  assert.is((await ask(up.host, { caFile: root.cert })).said, 'ok')
})

test('where no authority vouches it is said who was seen, by names alone', async () => {
  await using folder = await tempFolder()
  const { issuing, root, server } = await chainIn(folder.path)
  const other = await makeAuthority(folder.path, 'Other CA')
  await using whole = await startTlsServer(server, [issuing])
  await using half = await startTlsServer(server)
  const shown = 'it shows "server", issued by "Issuing CA"'

  const wrong = await ask(whole.host, { caFile: other.cert })
  assert.match(wrong.said, 'none of the authorities of tls.caFile or tls.caDir vouches for it')
  assert.ok(wrong.said.endsWith(`${shown}, issued by "Root CA"`), wrong.said)

  // The authority in between is neither sent nor in the file.
  const gap = await ask(half.host, { caFile: root.cert })
  assert.ok(gap.said.endsWith(shown), gap.said)
})

for (const subject of ['/', '/CN=a\u0007b"\\nCN=planted']) {
  test(`a service with the subject ${JSON.stringify(subject)} is refused with words, and ends nothing`, async () => {
    await using folder = await tempFolder()
    const root = await makeAuthority(folder.path, 'Root CA')
    const odd = await makeCertificate(folder.path, 'odd', root, undefined, { subject })
    await using up = await startTlsServer(odd)
    const other = await makeAuthority(folder.path, 'Other CA')

    const { said } = await ask(up.host, { caFile: other.cert })

    assert.match(said, /; it shows "(?:no name|a[?\\\w]*b[^"]*)", issued by "Root CA"$/)
    assert.is((await ask(up.host, { caFile: root.cert })).said, 'ok')
  })
}

const UNFIT: readonly (readonly [string, CertificateUse, RegExp])[] = [
  ['for logins alone', CLIENT_ONLY, /is not for servers: .*serverAuth; it shows "unfit"/],
  ['signed with SHA-1', SHA1, /signed with SHA-1 or MD5: .*; it shows "unfit"/],
  ['with a short key', SHORT_KEY, /too short: wanted RSA of 2048 bits or more/],
]
for (const [what, use, words] of UNFIT) {
  test(`a service whose certificate is ${what} is refused with words`, async () => {
    await using folder = await tempFolder()
    const root = await makeAuthority(folder.path, 'Root CA')
    const unfit = await makeCertificate(folder.path, 'unfit', root, undefined, use)
    await using up = await startTlsServer(unfit)

    const { said } = await ask(up.host, { caFile: root.cert })

    assert.match(said, words)
    assert.not.match(said, /UNSPECIFIED|INVALID_PURPOSE/)
  })
}

test('a client certificate with a short key is refused with words before it is shown', async () => {
  await using folder = await tempFolder()
  const { root } = await chainIn(folder.path)
  const short = await makeCertificate(folder.path, 'short', root, undefined, SHORT_KEY)

  const shortSaid = await ask('127.0.0.1:1', { certFile: short.cert, keyFile: short.key })
  assert.match(shortSaid.said, /the key of tls\.certFile is too short/)
})

test('a service without TLS is told from one whose certificate is not trusted', async () => {
  await using folder = await tempFolder()
  const { root } = await chainIn(folder.path)
  const { createServer } = await import('node:http')
  const plain = createServer((_request, response) => response.end('{}'))
  await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve))
  const { port } = plain.address() as { port: number }

  const { said } = await ask(`127.0.0.1:${port}`, { caFile: root.cert })

  plain.close()
  assert.match(said, /speaks no TLS there/)
})

test('an ended authority among several is a notice, and the one that vouches counts', async () => {
  await using folder = await tempFolder()
  const { issuing, root, server } = await chainIn(folder.path)
  const past = { from: Date.now() - 9 * HOUR_MS, to: Date.now() - HOUR_MS }
  const ended = await makeCertificate(folder.path, 'Ended CA', root, past, ISSUING)
  await using up = await startTlsServer(server, [issuing])
  const bundle = folder.at('bundle.pem')
  await writeFile(
    bundle,
    `${await readFile(ended.cert, 'utf8')}${await readFile(root.cert, 'utf8')}`,
  )

  const { said, events } = await ask(up.host, { caFile: bundle })

  assert.is(said, 'ok')
  const told = events.of('certificate').filter(({ kind }) => kind === 'authority')
  assert.is(told.length, 1)
  assert.ok(told.every(({ near, notAfter }) => !near && notAfter > Date.now()))
  const [notice, ...more] = events.of('notice')
  assert.equal(more, [])
  assert.is(notice?.what, 'authorities_ended')
  assert.is(notice?.level, 'info')
  assert.match(notice?.message ?? '', /"Ended CA"/)
})

test('an authority that vouches and ends soon is told of, though others last', async () => {
  await using folder = await tempFolder()
  const root = await makeAuthority(folder.path, 'Root CA')
  const soon = { from: Date.now() - 99 * HOUR_MS, to: Date.now() + HOUR_MS }
  const issuing = await makeCertificate(folder.path, 'Issuing CA', root, soon, ISSUING)
  const server = await makeCertificate(folder.path, 'server', issuing)
  await using up = await startTlsServer(server, [issuing])
  const other = await makeAuthority(folder.path, 'Other CA')
  const caDir = await copies(folder.at('authorities'), { 'a.pem': other, 'b.pem': issuing })

  const { events } = await ask(up.host, { caDir })

  const told = events.of('certificate').filter(({ kind }) => kind === 'authority')
  assert.equal(
    told.map(({ near }) => near),
    [true],
  )
})

test('a folder of authorities: what is none is left out by name and reason, and the others count', async () => {
  await using folder = await tempFolder()
  const { issuing, root, server } = await chainIn(folder.path)
  await using up = await startTlsServer(server, [issuing])
  const caDir = folder.at('authorities')
  await mkdir(`${caDir}/folder.pem`, { recursive: true })
  await symlink('nowhere.pem', `${caDir}/dangling.crt`)
  await symlink('loop.crt', `${caDir}/loop.crt`)
  await writeFile(`${caDir}/empty.pem`, '\n')
  await writeFile(`${caDir}/key.pem`, await readFile(root.key))
  await writeFile(`${caDir}/text.cer`, 'planted text')
  const pem = await readFile(root.cert, 'utf8')
  await writeFile(`${caDir}/trusted.pem`, pem.replaceAll('CERTIFICATE', 'TRUSTED CERTIFICATE'))
  await writeFile(`${caDir}/der.crt`, derOf(pem))
  // As openssl rehash makes them.
  await writeFile(`${caDir}/5ed36f99.0`, pem)

  const { said, events } = await ask(up.host, { caDir })

  assert.is(said, 'ok')
  const [notice] = events.noticesOf('authorities_left_out')
  assert.is(notice?.level, 'warn')
  for (const words of [
    /"dangling\.crt": it is a link to nothing/,
    /"loop\.crt": it is a link to itself/,
    /"folder\.pem": it is a folder/,
    /"empty\.pem": it is empty/,
    /"key\.pem": it has a private key/,
    /"text\.cer": it has no PEM certificates/,
    /"trusted\.pem": it has a TRUSTED CERTIFICATE/,
    /"der\.crt": it is DER and not PEM/,
  ]) {
    assert.match(notice?.message ?? '', words)
  }
  assert.not.match(notice?.message ?? '', /planted/)
})

test('a folder without any authority is unavailable, and says of each file why', async () => {
  await using folder = await tempFolder()
  const caDir = folder.at('authorities')
  await mkdir(caDir)
  await writeFile(`${caDir}/empty.pem`, '')
  await symlink('nowhere.pem', `${caDir}/dangling.pem`)

  const { said } = await ask('127.0.0.1:1', { caDir })

  assert.match(said, /has no \.pem or \.crt file that can be used/)
  assert.match(said, /"dangling\.pem": it is a link to nothing; "empty\.pem": it is empty/)
})

test('a file of a folder that counted and is emptied changes nothing until it is whole again', async () => {
  await using folder = await tempFolder()
  const { root } = await chainIn(folder.path)
  const other = await makeAuthority(folder.path, 'Other CA')
  const caDir = await copies(folder.at('authorities'), { 'a.pem': root, 'b.pem': other })
  const events = new RecordedEvents()
  const transport = new Transport({ provider: 'v', tls: { caDir }, clock: systemClock, events })
  await transport.connections('https://127.0.0.1:1')

  await writeFile(`${caDir}/a.pem`, '')
  assert.is(await transport.refresh(), false)
  assert.equal(events.notices(), ['tls_files_refused'])

  await writeFile(`${caDir}/b.pem`, await readFile(root.cert))
  await writeFile(`${caDir}/a.pem`, await readFile(other.cert))
  await writeFile(`${caDir}/c.pem`, 'text')
  assert.is(await transport.refresh(), true)
  assert.ok(events.notices().includes('authorities_left_out'))
  await transport.close()
})

for (const [what, content, words] of [
  ['that is empty', () => '', /cannot be used: it is empty/],
  ['with a key', (pem: string, key: string) => pem + key, /it has a private key/],
  ['in DER', (pem: string) => derOf(pem), /it is DER and not PEM/],
  ['cut off', (pem: string) => `${pem}${pem.slice(0, 80)}`, /it is not whole/],
] as const) {
  test(`a caFile ${what} is unavailable with words that name the file`, async () => {
    await using folder = await tempFolder()
    const { root } = await chainIn(folder.path)
    const caFile = folder.at('authority.pem')
    await writeFile(
      caFile,
      content(await readFile(root.cert, 'utf8'), await readFile(root.key, 'utf8')),
    )

    const { said } = await ask('127.0.0.1:1', { caFile })

    assert.match(said, caFile)
    assert.match(said, words)
  })
}

function derOf(pem: string): Uint8Array {
  const body = pem.replace(/-----[^-]+-----/g, '')
  return Uint8Array.from(atob(body.replaceAll('\n', '')), (char) => char.charCodeAt(0))
}

test.run()
