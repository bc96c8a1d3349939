/** A login to a fake of Azure, under a clock that the test drives. @module */

import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { inspect, promisify } from 'node:util'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { KmsError } from '../../../../src/base/errors.ts'
import { HttpClient } from '../../../../src/remote/http/client.ts'
import { Transport } from '../../../../src/remote/http/transport.ts'
import { TokenSource } from '../../../../src/remote/token_source.ts'
import type { AzureCloudName } from '../../../../src/services/azure/clouds.ts'
import { azureLogin, createAzureLogin } from '../../../../src/services/azure/login/auth.ts'
import { RecordedEvents } from '../../events.ts'
import { FakeClock } from '../../fake_clock.ts'
import { type TempFolder, tempFolder } from '../../temp_folder.ts'
import { rejection } from '../../uvu.ts'
import { type FakeAzure, startFakeAzure } from './fake.ts'

const HOUR_MS = 3_600_000
const openssl = promisify(execFile)

interface AzureLoginUnderTest extends AsyncDisposable {
  readonly azure: FakeAzure
  readonly clock: FakeClock
  readonly events: RecordedEvents
  readonly folder: TempFolder
  /** A request under the token, as the fake service judges it; resolves to the token. */
  readonly use: () => Promise<string>
  readonly logins: () => number
}

export type PrepareLogin = (azure: FakeAzure, folder: TempFolder) => object | Promise<object>

/** @param limitMs of a login; so long that virtual time does not outrun real answers */
export async function loginSetup(
  prepare: PrepareLogin,
  { cloud = 'public' as AzureCloudName, limitMs = 100 * HOUR_MS } = {},
): Promise<AzureLoginUnderTest> {
  const clock = new FakeClock()
  const folder = await tempFolder()
  const azure = await startFakeAzure({ now: () => clock.now() })
  const events = new RecordedEvents()
  const login = v.parse(azureLogin, await prepare(azure, folder))
  const deps = { clock, events, random: () => 0.5, provider: 'azure' }
  const transport = new Transport({ ...deps, tls: {} })
  const method = createAzureLogin(login, {
    ...deps,
    cloud,
    resource: azure.tokens.audience,
    authority: new HttpClient(azure.entra.address, transport),
    metadata: new HttpClient(azure.metadata.address, transport),
  })
  const tokens = new TokenSource(method, { ...deps, requestTimeoutMs: limitMs })
  const judge = async (token = '') => {
    const known = azure.tokens.issued.get(token)
    if (known !== undefined && known.expiresAt > clock.now()) return await Promise.resolve(token)
    throw new KmsError('Seeded denial', { code: 'denied' })
  }
  const call = { signal: new AbortController().signal, deadline: Number.POSITIVE_INFINITY }
  return {
    azure,
    clock,
    events,
    folder,
    use: () => tokens.run(judge, call),
    logins: () => events.of('token').filter(({ code }) => code === 'ok').length,
    async [Symbol.asyncDispose]() {
      tokens.close()
      await transport.close()
      await azure[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

export function application({ tokens }: FakeAzure) {
  return { tenantId: tokens.tenantId, clientId: tokens.clientId }
}

/** A certificate that the application knows, in one file with its key. */
export async function makeCertificate(
  azure: FakeAzure,
  folder: TempFolder,
  name = 'client',
  key: readonly string[] = ['rsa:2048'],
): Promise<string> {
  const [cert, keyFile, both] = ['crt', 'key', 'pem'].map((end) => folder.at(`${name}.${end}`))
  const days = '30000'
  const made = ['-newkey', ...key, '-nodes', '-keyout', `${keyFile}`, '-out', `${cert}`]
  await openssl('openssl', ['req', '-x509', '-days', days, '-subj', '/CN=node', ...made])
  azure.tokens.certificate = await readFile(`${cert}`, 'utf8')
  await writeFile(`${both}`, `${azure.tokens.certificate}${await readFile(`${keyFile}`, 'utf8')}`)
  return `${both}`
}

export async function secretLogin(azure: FakeAzure, folder: TempFolder) {
  await writeFile(folder.at('secret'), `${azure.tokens.secret}\n`)
  return { method: 'clientSecret', ...application(azure), secretFile: folder.at('secret') }
}

/** How it ends, for those who do something meanwhile. */
export function ending(promise: Promise<unknown>): { error: unknown } {
  const end = { error: undefined as unknown }
  promise.catch((error: unknown) => {
    end.error = error
  })
  return end
}

/** Holds no secret, neither in the error and its causes nor in any event. */
export function assertDiscreet({ azure, events }: AzureLoginUnderTest, error: unknown): void {
  const said = inspect([error, events.all], { depth: 9 })
  for (const secret of ['planted', azure.tokens.secret, ...azure.tokens.issued.keys()]) {
    assert.not.ok(said.includes(secret), `says ${secret}: ${said}`)
  }
}

export async function refusalOf(one: AzureLoginUnderTest): Promise<string> {
  const error = await rejection(one.use())
  assertDiscreet(one, error)
  assert.instance(error, KmsError)
  assert.is((error as KmsError).code, 'denied')
  return (error as KmsError).message
}
