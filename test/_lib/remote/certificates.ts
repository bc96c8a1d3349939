/** Authorities and certificates for tests, made by openssl. @module */

import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const TWO_DAYS_MS = 172_800_000
const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

export interface CertificateFiles {
  readonly cert: string
  readonly key: string
}

/** In milliseconds since 1970; certificates know whole seconds. */
export interface Validity {
  readonly from: number
  readonly to: number
}

export interface CertificateUse {
  /** Arguments of `openssl req`; a key on a curve where absent. */
  readonly key?: readonly string[]
  readonly digest?: 'sha256' | 'sha1'
  /** `/CN=` and its own name where absent. */
  readonly subject?: string
  /** Lines as OpenSSL's settings have them; names of loopback where absent. */
  readonly extensions?: string
}

const LOOPBACK = 'subjectAltName = IP:127.0.0.1,DNS:localhost'
/** One that may sign others: an issuing authority below another. */
export const ISSUING: CertificateUse = {
  extensions: 'basicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign',
}
/** For logins alone, with the names of loopback. */
export const CLIENT_ONLY: CertificateUse = {
  extensions: `${LOOPBACK}\nextendedKeyUsage = clientAuth`,
}
export const SHORT_KEY: CertificateUse = { key: ['-newkey', 'rsa:1024', '-nodes'] }
export const SHA1: CertificateUse = { digest: 'sha1' }

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
  validity: Validity = { from: Date.now(), to: Date.now() + TWO_DAYS_MS },
  use: CertificateUse = {},
): Promise<CertificateFiles> {
  const files = filesOf(folder, name)
  const [request, settings] = [join(folder, `${name}.csr`), join(folder, `${name}.cnf`)]
  const key = use.key ?? NEW_KEY
  const subject = use.subject ?? `/CN=${name}`
  await openssl(['req', ...key, '-subj', subject, '-keyout', files.key, '-out', request])
  const index = join(folder, `${name}.index`)
  await writeFile(index, '')
  await writeFile(settings, authoritySettings(folder, index, use))
  // Only this command of OpenSSL 3.0 takes the times.
  const signing = ['-batch', '-notext', '-cert', authority.cert, '-keyfile', authority.key]
  const times = ['-startdate', utcTime(validity.from), '-enddate', utcTime(validity.to)]
  const names = ['-config', settings, '-in', request, '-out', files.cert]
  await openssl(['ca', ...signing, ...times, ...names])
  return files
}

function authoritySettings(
  folder: string,
  index: string,
  { digest = 'sha256', extensions = LOOPBACK }: CertificateUse,
): string {
  return `
[ca]
default_ca = settings
[settings]
database = ${index}
new_certs_dir = ${folder}
rand_serial = yes
default_md = ${digest}
policy = subject
x509_extensions = extensions
[subject]
commonName = optional
[extensions]
${extensions}
`
}

/** As `openssl ca` wants it: `20261125213306Z`. */
function utcTime(time: number): string {
  return `${new Date(time).toISOString().slice(0, 19).replaceAll(/[-:T]/g, '')}Z`
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
