/**
 * The client of the API server: which certificates it trusts, and an API server under a path; over
 * real TLS.
 *
 * @module
 */

import { readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { systemClock } from '../../../src/base/clock.ts'
import { toKmsError } from '../../../src/base/errors.ts'
import type { TlsOptions } from '../../../src/remote/http/tls_files.ts'
import { connectKube } from '../../../src/tools/kube/client.ts'
import { RecordedEvents } from '../../_lib/events.ts'
import { ISSUING, makeAuthority, makeCertificate } from '../../_lib/remote/certificates.ts'
import { startTlsServer } from '../../_lib/remote/tls_server.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('tools/kube/client', () => ({}))

test('send() trusts an issuing authority alone, from a file or the kubeconfig itself, and asks below the path of the server', async () => {
  await using folder = await tempFolder()
  const root = await makeAuthority(folder.path, 'Root CA')
  const issuing = await makeCertificate(folder.path, 'Issuing CA', root, undefined, ISSUING)
  const server = await makeCertificate(folder.path, 'apiserver', issuing)
  await using up = await startTlsServer(server, [issuing])
  const other = await makeAuthority(folder.path, 'Other CA')
  const ask = async (tls: TlsOptions) => {
    const access = { server: `https://${up.host}/k8s/clusters/one/`, tls }
    await using client = connectKube(access, { clock: systemClock, events: new RecordedEvents() })
    return await client.send({ method: 'GET', path: '/version' }).then(
      ({ status }) => String(status),
      (error: unknown) => toKmsError(error).message,
    )
  }

  assert.is(await ask({ caFile: issuing.cert }), '200')
  assert.is(await ask({ pem: { ca: await readFile(issuing.cert, 'utf8') } }), '200')
  const refused = await ask({ caFile: other.cert })

  assert.match(refused, 'it shows "apiserver", issued by "Issuing CA", issued by "Root CA"')
  assert.equal(new Set(up.paths), new Set(['/k8s/clusters/one/version']))
})

test.run()
