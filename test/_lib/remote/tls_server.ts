/** A server of Node's own that shows a chain of certificates, and answers everything with `{}`. @module */

import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { CertificateFiles } from './certificates.ts'

interface TlsServer extends AsyncDisposable {
  /** `127.0.0.1:port`. */
  readonly host: string
  /** Of every request. */
  readonly paths: readonly string[]
}

/** @param above what it sends beside its own certificate */
export async function startTlsServer(
  { cert, key }: CertificateFiles,
  above: readonly CertificateFiles[] = [],
): Promise<TlsServer> {
  const paths: string[] = []
  const chain = await Promise.all(
    [cert, ...above.map((each) => each.cert)].map((file) => readFile(file)),
  )
  const server = createServer(
    // The lowest level, since a client is to judge and not this server.
    { cert: Buffer.concat(chain), key: await readFile(key), ciphers: 'DEFAULT:@SECLEVEL=0' },
    ({ url = '' }, response) => {
      paths.push(url)
      response.end('{}')
    },
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    paths,
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}
