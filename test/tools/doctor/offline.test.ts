/** What `trousseau doctor --offline` knows of a config alone, for every type of provider. @module */

import { chmod, mkdir, writeFile } from 'node:fs/promises'
import process from 'node:process'
import * as assert from 'uvu/assert'
import { runProgram } from '../../../src/cli/program.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { type TempFolder, tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'

interface Finding {
  readonly id: string
  readonly level: string
  readonly what: string
}

// What lies below /tmp is gone after a boot, and doctor says so.
process.env['TMPDIR'] = '/var/tmp'

const test = suite('tools/doctor/offline', () => ({}))

async function looked(
  folder: TempFolder,
  provider: object,
): Promise<{ code: number; findings: Finding[] }> {
  const config = {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: '/run/trousseau/kms.sock' },
    providers: [{ name: 'one', ...provider }],
  }
  await writeFile(folder.at('config.json'), JSON.stringify(config))
  const io = memoryIo()
  const args = ['doctor', '--config', folder.at('config.json'), '--offline', '--json']
  const code = await runProgram(args, io)
  assert.is(io.complained(), '')
  const { findings } = JSON.parse(io.printed()) as { findings: Finding[] }
  return { code, findings: findings.filter(({ level }) => ['warning', 'error'].includes(level)) }
}

async function idsOf(folder: TempFolder, provider: object): Promise<string[]> {
  const { code, findings } = await looked(folder, provider)
  assert.is(code, findings.length === 0 ? 0 : 3)
  return findings.map(({ id }) => id)
}

const AWS = {
  type: 'awskms',
  key: 'arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab',
}
const AZURE = {
  type: 'azurekms',
  vault: 'trousseau',
  key: 'k8s-etcd',
  login: { method: 'managedIdentity' },
}
const GOOGLE = {
  type: 'gcpkms',
  key: 'projects/p/locations/l/keyRings/r/cryptoKeys/k',
  auth: { method: 'metadata' },
}
const VAULT = { type: 'vault', key: 'k8s-etcd', auth: { method: 'agent' } }
const INSIDE = 'http://kms.kms.svc.cluster.local:8080'
const HTTP = { allowInsecureHttp: true }

for (const [what, provider] of Object.entries({
  'vault address': { ...VAULT, ...HTTP, address: INSIDE },
  'vault addresses': { ...VAULT, ...HTTP, addresses: ['https://vault.example.org', INSIDE] },
  'awskms endpoint': { ...AWS, ...HTTP, endpoint: INSIDE },
  'awskms stsEndpoint': { ...AWS, ...HTTP, stsEndpoint: INSIDE },
  'azurekms endpoints.vault': { ...AZURE, ...HTTP, endpoints: { vault: INSIDE } },
  'azurekms endpoints.authority': { ...AZURE, ...HTTP, endpoints: { authority: INSIDE } },
  'gcpkms endpoint': { ...GOOGLE, ...HTTP, endpoint: INSIDE },
  'gcpkms auth.iamEndpoint': {
    ...GOOGLE,
    ...HTTP,
    auth: { method: 'metadata', iamEndpoint: INSIDE },
  },
})) {
  test(`doctor --offline finds plain http and an address inside the cluster in ${what}`, async () => {
    await using folder = await tempFolder()

    assert.equal(await idsOf(folder, provider), ['config-plain-http', 'boot-in-cluster-address'])
  })
}

const PROXY = { url: 'http://proxy.infra.svc:3128' }
for (const [type, provider] of Object.entries({
  vault: { ...VAULT, address: 'https://vault.example.org' },
  awskms: AWS,
  azurekms: AZURE,
  gcpkms: GOOGLE,
})) {
  test(`doctor --offline finds nothing in a ${type} provider on the outside, and a proxy that is inside`, async () => {
    await using folder = await tempFolder()

    assert.equal(await idsOf(folder, provider), [])
    assert.equal(await idsOf(folder, { ...provider, proxy: PROXY }), ['boot-in-cluster-address'])
  })
}

test('doctor --offline takes plain http to this machine, and to its metadata service', async () => {
  await using folder = await tempFolder()
  const near = ['http://127.0.0.1:8200', 'http://[::1]:8200', 'http://localhost:8200']

  assert.equal(await idsOf(folder, { ...VAULT, ...HTTP, addresses: near }), [])
  const metadata = { method: 'metadata', address: 'http://169.254.169.254' }
  assert.equal(await idsOf(folder, { ...GOOGLE, auth: metadata }), [])
})

const TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token'
for (const [what, provider] of Object.entries({
  'vault auth.method kubernetes': {
    ...VAULT,
    address: 'https://vault.example.org',
    auth: { method: 'kubernetes', role: 'trousseau' },
  },
  'vault auth.method jwt': {
    ...VAULT,
    address: 'https://vault.example.org',
    auth: { method: 'jwt', tokenFile: TOKEN },
  },
  'azurekms login.method workloadIdentity': {
    ...AZURE,
    login: { method: 'workloadIdentity', tenantId: 't', clientId: 'c' },
  },
  'awskms credentials.source webIdentity': {
    ...AWS,
    credentials: {
      source: 'webIdentity',
      tokenFile: '/var/run/secrets/eks.amazonaws.com/serviceaccount/token',
    },
  },
})) {
  test(`doctor --offline finds that ${what} needs a token of the cluster`, async () => {
    await using folder = await tempFolder()

    assert.equal(await idsOf(folder, provider), ['boot-kubernetes-login', 'file-missing'])
  })
}

test('doctor --offline finds a wrapped secret id', async () => {
  await using folder = await tempFolder()
  for (const name of ['role-id', 'secret-id']) {
    await writeFile(folder.at(name), 'x', { mode: 0o600 })
  }
  const auth = {
    method: 'approle',
    roleIdFile: folder.at('role-id'),
    secretIdFile: folder.at('secret-id'),
    wrappedRole: 'trousseau',
  }
  const provider = { ...VAULT, address: 'https://vault.example.org', auth }

  assert.equal(await idsOf(folder, provider), ['boot-wrapped-secret-id'])
})

for (const [type, provider] of Object.entries({ azurekms: AZURE, gcpkms: GOOGLE })) {
  test(`doctor --offline finds that a ${type} provider takes any certificate`, async () => {
    await using folder = await tempFolder()
    const tls = { dangerouslySkipVerification: true }

    assert.equal(await idsOf(folder, { ...provider, tls }), ['tls-not-verified'])
  })
}

test('doctor --offline misses a folder of authorities and an azure.json that are not there, and names them', async () => {
  await using folder = await tempFolder()
  const tls = { caDir: folder.at('authorities') }
  const login = { method: 'azureJson', file: folder.at('azure.json') }

  const { findings } = await looked(folder, { ...AZURE, tls, login })

  assert.equal(
    findings.map(({ id, what }) => [id, what]),
    [
      ['file-missing', `${login.file} cannot be read: there is no such file or folder`],
      ['file-missing', `${tls.caDir} cannot be read: there is no such file or folder`],
    ],
  )
})

test('doctor --offline tells a file from a folder, and finds a folder that everybody may write to', async () => {
  await using folder = await tempFolder()
  await mkdir(folder.at('authorities'))
  await writeFile(folder.at('azure.json'), '{}', { mode: 0o600 })
  const login = { method: 'azureJson', file: folder.at('azure.json') }
  const well = { ...AZURE, tls: { caDir: folder.at('authorities') }, login }
  await chmod(folder.at('authorities'), 0o755)

  assert.equal(await idsOf(folder, well), [])
  await chmod(folder.at('authorities'), 0o777)
  assert.equal(await idsOf(folder, well), ['file-open'])
  const mixed = { tls: { caDir: login.file }, login: { ...login, file: well.tls.caDir } }
  const { findings } = await looked(folder, { ...AZURE, ...mixed })
  assert.equal(
    findings.map(({ id, what }) => [id, what]),
    [
      ['file-missing', `${well.tls.caDir} is a folder, and a file is wanted`],
      ['file-missing', `${login.file} is a file, and a folder is wanted`],
    ],
  )
})

test.run()
