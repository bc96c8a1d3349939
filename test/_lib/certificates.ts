/** Authorities and certificates for tests, made by openssl. @module */

import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

export interface CertificateFiles {
  readonly cert: string
  readonly key: string
}

/** Writes `<name>.pem` and `<name>-key.pem`. */
export async function makeAuthority(folder: string, name: string): Promise<CertificateFiles> {
  const files = filesOf(folder, name)
  const subject = ['-x509', '-days', '2', '-subj', `/CN=${name}`]
  await openssl(['req', ...subject, ...NEW_KEY, '-keyout', files.key, '-out', files.cert])
  return files
}

/** Writes `<name>.pem` and `<name>-key.pem`, signed by the authority; for loopback, or a client's. */
export async function makeCertificate(
  folder: string,
  name: string,
  authority: CertificateFiles,
): Promise<CertificateFiles> {
  const files = filesOf(folder, name)
  const [request, extensions] = [join(folder, `${name}.csr`), join(folder, `${name}.ext`)]
  await openssl(['req', ...NEW_KEY, '-subj', `/CN=${name}`, '-keyout', files.key, '-out', request])
  await writeFile(extensions, 'subjectAltName=IP:127.0.0.1,DNS:localhost')
  const signing = ['-CA', authority.cert, '-CAkey', authority.key, '-CAcreateserial', '-days', '2']
  const names = ['-in', request, '-extfile', extensions, '-out', files.cert]
  await openssl(['x509', '-req', ...signing, ...names])
  return files
}

/** Certificate and key in one text, as the kubelet keeps them. */
export async function combined({ cert, key }: CertificateFiles): Promise<string> {
  return `${await readFile(cert, 'utf8')}${await readFile(key, 'utf8')}`
}

function filesOf(folder: string, name: string): CertificateFiles {
  return { cert: join(folder, `${name}.pem`), key: join(folder, `${name}-key.pem`) }
}

async function openssl(args: readonly string[]): Promise<void> {
  await promisify(execFile)('openssl', [...args])
}
