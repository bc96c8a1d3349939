/** Logins to Google, each beside a fake that knows it, on a virtual clock. @module */

import { Buffer } from 'node:buffer'
import { rm, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import type { KmsErrorCode } from '../../../../src/base/errors.ts'
import { FakeClock } from '../../fake_clock.ts'
import type { TempFolder } from '../../temp_folder.ts'
import { until } from '../../wait.ts'
import { FEDERATED, POOL } from './fake/logins.ts'
import { type FakeGoogle, INSTANCE } from './fake.ts'
import { type GoogleSetup, googleSetup } from './setup.ts'

export const MINUTE_MS = 60_000
export const KEYED = 'keyed@acme-prod.iam.gserviceaccount.com'
const SUBJECT = 'eyJhbGciOiJSUzI1NiJ9.planted-subject.signature'
const TARGET = 'kms@acme-prod.iam.gserviceaccount.com'
const HOP = 'hop@acme-prod.iam.gserviceaccount.com'
const ITEM = { plaintext: Buffer.from('seed'), associatedData: Buffer.alloc(32, 9) }

interface Login {
  readonly name: string
  /** Writes its files, and returns `auth`. */
  readonly set: (google: FakeGoogle, folder: TempFolder) => Promise<Record<string, unknown>>
  /** Keeps it from working again. */
  readonly spoil: (one: GoogleSetup) => Promise<void> | void
  readonly complaint: RegExp
}

function metadataAuth(google: FakeGoogle) {
  return { method: 'metadata', address: google.address }
}

export async function keyAuth(google: FakeGoogle, { at }: TempFolder) {
  await writeFile(at('key.json'), JSON.stringify(google.accounts.makeKey(KEYED)))
  google.allow(KEYED)
  return { method: 'key', keyFile: at('key.json'), iamEndpoint: google.address }
}

async function federationAuth(google: FakeGoogle, { at }: TempFolder, change: object) {
  google.logins.subjectToken = SUBJECT
  const file = {
    type: 'external_account',
    universe_domain: 'googleapis.com',
    audience: POOL,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_url: 'https://sts.googleapis.com/v1/token',
    ...change,
  }
  await writeFile(at('config.json'), JSON.stringify(file))
  const endpoints = { stsEndpoint: google.address, iamEndpoint: google.address }
  return { method: 'federation', credentialsFile: at('config.json'), ...endpoints }
}

export async function fromFile(google: FakeGoogle, folder: TempFolder, change: object = {}) {
  await writeFile(folder.at('token'), `${SUBJECT}\n`)
  const source = { credential_source: { file: folder.at('token') } }
  return await federationAuth(google, folder, { ...source, ...change })
}

function actAs(google: FakeGoogle, chain: string) {
  google.allow(TARGET)
  google.policy.delete(INSTANCE)
  google.policy.delete(FEDERATED)
  google.logins.mayActAs.add(chain)
}

const noSubject = ({ google }: GoogleSetup) => {
  google.logins.subjectToken = 'another one'
}
const noActing = ({ google }: GoogleSetup) => google.logins.mayActAs.clear()

export const LOGINS: readonly Login[] = [
  {
    name: 'metadata server',
    set: (google) => Promise.resolve(metadataAuth(google)),
    spoil({ google }) {
      google.logins.instanceAccount = undefined
    },
    complaint: /the instance has no service account "default"/,
  },
  {
    name: 'service-account key',
    set: keyAuth,
    spoil: ({ folder }) => rm(folder.at('key.json')),
    complaint: /key\.json" of auth\.keyFile cannot be read: there is no such file or folder/,
  },
  {
    name: 'federation from a file of text',
    set: fromFile,
    spoil: noSubject,
    complaint: /Token exchange was refused \(400\)/,
  },
  {
    name: 'federation from a file of JSON',
    async set(google, folder) {
      await writeFile(folder.at('token.json'), JSON.stringify({ id: { no: 1 }, id_token: SUBJECT }))
      const format = { type: 'json', subject_token_field_name: 'id_token' }
      const credential_source = { file: folder.at('token.json'), format }
      return await federationAuth(google, folder, { credential_source })
    },
    spoil: ({ folder }) => writeFile(folder.at('token.json'), '{"access_token":"planted"}'),
    complaint: /holds no subject token: wanted JSON with a token in "id_token"/,
  },
  {
    name: 'federation from a URL',
    async set(google, folder) {
      google.subjectAnswer = { status: 200, body: { access_token: SUBJECT } }
      const format = { type: 'json', subject_token_field_name: 'access_token' }
      const headers = { 'x-identity': 'yes' }
      const url = `${google.address}/subject?secret=planted`
      return await federationAuth(google, folder, { credential_source: { url, headers, format } })
    },
    spoil({ google }) {
      google.subjectAnswer = { status: 500, body: 'planted' }
    },
    complaint: /URL of credential_source at \S+ answered 500/,
  },
  {
    name: 'federation and impersonation, by one file',
    set(google, folder) {
      actAs(google, `${FEDERATED}>${TARGET}`)
      const host = 'https://iamcredentials.googleapis.com'
      const url = `${host}/v1/projects/-/serviceAccounts/${TARGET}:generateAccessToken`
      return fromFile(google, folder, { service_account_impersonation_url: url })
    },
    spoil: noActing,
    complaint: /cannot be impersonated: .*roles\/iam\.workloadIdentityUser/,
  },
  {
    name: 'metadata server and impersonation over a delegate',
    set(google) {
      actAs(google, `${INSTANCE}>${HOP}>${TARGET}`)
      const impersonate = { serviceAccount: TARGET, delegates: [HOP] }
      const iamEndpoint = google.address
      return Promise.resolve({ ...metadataAuth(google), impersonate, iamEndpoint })
    },
    spoil: noActing,
    complaint: /kms@\S+ cannot be impersonated: .*iam\.serviceAccounts\.getAccessToken/,
  },
  {
    name: 'service-account key and impersonation',
    async set(google, folder) {
      actAs(google, `${KEYED}>${TARGET}`)
      const auth = await keyAuth(google, folder)
      google.policy.delete(KEYED)
      return { ...auth, impersonate: { serviceAccount: TARGET } }
    },
    spoil: noActing,
    complaint: /cannot be impersonated/,
  },
]

export async function loginSetup({ set }: Pick<Login, 'set'>, change: object = {}) {
  const clock = new FakeClock()
  const one = await googleSetup({
    clock,
    // Nothing here waits for a time limit, which the clock would leap over.
    limitMs: 600 * MINUTE_MS,
    configure: async (google, folder) => ({ auth: await set(google, folder), ...change }),
  })
  const codes = () => one.events.of('token').map(({ code }) => code)
  return Object.assign(one, {
    clock,
    codes,
    wrap: () => one.limited((call) => one.provider.wrap('1', [ITEM], call)),
    told: (code: KmsErrorCode | 'ok', times: number) =>
      until(`login told as ${code}`, () => codes().filter((each) => each === code).length >= times),
  })
}

export function messageOf(
  outcome: Awaited<ReturnType<GoogleSetup['provider']['wrap']>>[number] | undefined,
) {
  if (outcome === undefined || outcome.ok) return ''
  const { message, stack } = outcome.error
  assert.not.ok(/planted|ya29|BEGIN|eyJ/.test(`${message} ${stack}`), `no secret in: ${message}`)
  return message
}

export function loginNamed(name: string): Login {
  const login = LOGINS.find((each) => each.name === name)
  if (login === undefined) throw new Error(`No login ${name}`)
  return login
}
