/**
 * The descriptors compared with the JSON Schema: every key that holds an absolute path must be
 * among the paths that doctor and manifests are given.
 *
 * @module
 */

import * as assert from 'uvu/assert'
import configSchema from '../../src/config/config.schema.json' with { type: 'json' }
import { parseConfig } from '../../src/config/load.ts'
import { pathsOf } from '../../src/config/paths.ts'
import type { ProviderConfig } from '../../src/services/registry.ts'
import { descriptorOf, PROVIDER_TYPES } from '../../src/services/registry.ts'
import { suite } from '../_lib/uvu.ts'

interface Schema {
  readonly type?: string
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly pattern?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly oneOf?: readonly Schema[]
  readonly anyOf?: readonly Schema[]
}

/** A value that the schema describes; paths say where they stand. */
type Sample = string | number | boolean | readonly Sample[] | { readonly [key: string]: Sample }

const test = suite('services/descriptors', () => ({}))

const SAMPLE = '/sample'

/** Whether a string of the pattern is an absolute path, or a socket's address. */
function holdsPath({ pattern = '' }: Schema): boolean {
  if (pattern === '') return false
  const fits = new RegExp(pattern)
  return (fits.test(SAMPLE) || fits.test(`unix://${SAMPLE}`)) && !fits.test(SAMPLE.slice(1))
}

/** Every alternative of every key is in one of them; a list has one item. */
function samplesOf(schema: Schema, at: string): Sample[] {
  const { properties, items, oneOf, anyOf } = schema
  const alternatives = oneOf ?? anyOf
  if (alternatives !== undefined) return alternatives.flatMap((each) => samplesOf(each, at))
  if (items !== undefined) return samplesOf(items, at).map((item) => [item])
  if (properties === undefined) return [leafOf(schema, at)]
  const keys = Object.entries(properties).map(
    ([key, each]) => [key, samplesOf(each, `${at}/${key}`)] as const,
  )
  const count = Math.max(1, ...keys.map(([, samples]) => samples.length))
  return Array.from({ length: count }, (_, number) =>
    Object.fromEntries(
      keys.flatMap(([key, samples]) => {
        const sample = samples[Math.min(number, samples.length - 1)]
        return sample === undefined ? [] : [[key, sample]]
      }),
    ),
  )
}

function leafOf(schema: Schema, at: string): Sample {
  if (schema.const !== undefined) return schema.const as Sample
  if (schema.enum !== undefined) return (schema.enum[0] ?? '') as Sample
  if (schema.type === 'boolean') return false
  if (schema.type === 'number' || schema.type === 'integer') return 1
  if (!holdsPath(schema)) return ''
  return new RegExp(schema.pattern ?? '').test(at) ? at : `unix://${at}`
}

/** Of two keys only one may be there, and then the other one counts. */
function withoutOneKey(sample: Sample, { required = [] }: Schema): Sample[] {
  const entries = Object.entries(sample)
  const isPlain = (value: Sample) => typeof value === 'string' || Array.isArray(value)
  return entries
    .filter(([key, value]) => !required.includes(key) && isPlain(value))
    .map(([left]) => Object.fromEntries(entries.filter(([key]) => key !== left)))
}

/** Paths that stand anywhere in a sample. */
function pathsIn(sample: Sample): string[] {
  if (typeof sample === 'string') {
    const path = sample.replace(/^unix:\/\//, '')
    return path.startsWith(SAMPLE) ? [path] : []
  }
  return typeof sample === 'object' ? Object.values(sample).flatMap((each) => pathsIn(each)) : []
}

function listed(paths: readonly string[]): string[] {
  return [...new Set(paths)].toSorted((a, b) => (a < b ? -1 : 1))
}

const { providers, ...outside } = configSchema.properties as Readonly<Record<string, Schema>>
const schemas = providers?.items?.oneOf ?? []

test('the JSON Schema has each type that the registry has', () => {
  const types = schemas.map(({ properties }) => properties?.['type']?.const)

  assert.equal(types, PROVIDER_TYPES)
})

const FOLDERS = /(?:Dir|Folder)$/

for (const [index, type] of PROVIDER_TYPES.entries()) {
  test(`paths() of ${type} has every key of the JSON Schema that holds an absolute path, and no other`, () => {
    const schema = schemas[index] ?? {}
    const whole = samplesOf(schema, `${SAMPLE}/${type}`)
    const samples = [...whole, ...withoutOneKey(whole[0] ?? {}, schema)]
    const wanted = listed(whole.flatMap(pathsIn))
    const seen = samples.flatMap((sample) => {
      // Shaped as the schema says, though not by the rules between its keys.
      const config = sample as unknown as ProviderConfig
      const { files, folders, sockets, devices = [] } = descriptorOf(config).paths(config)
      for (const path of files) assert.not.match(path, FOLDERS)
      for (const path of folders) assert.match(path, FOLDERS)
      return [...files, ...folders, ...sockets, ...devices]
    })

    assert.ok(wanted.length > 0)
    assert.equal(listed(seen), wanted)
  })
}

/** The keys besides those of providers; sockets stand in the schema as any text. */
const OUTSIDE = [
  'socket/path',
  'endpoints/socket/path',
  'recovery/recipients',
  'stateDir',
  'admin/listen',
  'probes/listen',
  'policy/encryptionConfig',
  'policy/opa/address',
  'policy/opa/tls/caDir',
  'policy/opa/tls/caFile',
  'policy/opa/tls/certFile',
  'policy/opa/tls/keyFile',
  'policy/opa/tokenFile',
  // Folders of the host, which pathsOf() leaves out: the pod of docs/policy.md mounts them.
  'policy/roots/etc',
  'policy/roots/proc',
  'policy/roots/run',
  'policy/roots/sys',
  'policy/waiver/file',
  'policy/waiver/keyFiles',
  'traces/endpoint',
  'traces/tls/caDir',
  'traces/tls/caFile',
  'traces/tls/certFile',
  'traces/tls/keyFile',
  'traces/tokenFile',
  'audit/signingKeyFile',
  // Those of its key are given by the descriptors, which are tried above.
  'signer/key/address',
  'signer/key/addresses',
  'signer/key/auth/passwordFile',
  'signer/key/auth/roleIdFile',
  'signer/key/auth/secretIdFile',
  'signer/key/auth/selfSigned/keyFile',
  'signer/key/auth/selfSigned/tpm/device',
  'signer/key/auth/selfSigned/tpm/keyFile',
  'signer/key/auth/selfSigned/tpm/policyFile',
  'signer/key/auth/spiffe/socket',
  'signer/key/auth/tokenFile',
  'signer/key/keyFile',
  'signer/key/proxy/credentialsFile',
  'signer/key/tls/caDir',
  'signer/key/tls/caFile',
  'signer/key/tls/certFile',
  'signer/key/tls/keyFile',
  'signer/legacyKeys/file',
]

test('the JSON Schema has no other key with an absolute path than those that pathsOf() is tried with', () => {
  const found = Object.entries(outside).flatMap(([key, schema]) =>
    samplesOf(schema, `${SAMPLE}/${key}`).flatMap(pathsIn),
  )

  assert.equal(
    listed([...found, ...OUTSIDE.slice(0, 2).map((key) => `${SAMPLE}/${key}`)]),
    listed(OUTSIDE.map((key) => `${SAMPLE}/${key}`)),
  )
})

test('pathsOf() has the paths of providers, sockets, state, recipients and the admin page, each once', () => {
  const head = { apiVersion: 'trousseau.io/v1', kind: 'TrousseauConfig' }
  const local = (name: string) => ({ name, type: 'local', keyFile: '/etc/trousseau/key' })
  const common = {
    ...head,
    providers: [local('a'), local('b')],
    stateDir: '/var/lib/trousseau/state',
    recovery: { recipients: ['/etc/trousseau/r.json'] },
    admin: { listen: 'unix:///run/admin/page.sock' },
    probes: { listen: 'unix:///run/admin/probes.sock' },
    policy: {
      files: { manifest: '/etc/kubernetes/manifests/kube-apiserver.yaml' },
      encryptionConfig: '/etc/kubernetes/enc/enc.yaml',
      opa: {
        address: 'unix:///run/opa/opa.sock',
        path: 'trousseau/allow',
        mode: 'enforce',
        guards: ['encrypt'],
        noAnswer: 'deny',
        tokenFile: '/etc/opa/token',
        tls: {
          caFile: '/etc/opa/ca.pem',
          caDir: '/etc/opa/cas',
          certFile: '/etc/opa/cert.pem',
          keyFile: '/etc/opa/key.pem',
        },
      },
      waiver: { file: '/etc/trousseau/waiver', keyFiles: ['/etc/trousseau/waiver.pub.pem'] },
    },
    traces: { endpoint: 'unix:///run/otel/otlp.sock', tokenFile: '/etc/otel/token' },
    audit: { to: '/var/log/trousseau/audit.log', signingKeyFile: '/etc/trousseau/audit-key' },
    signer: {
      socket: { path: '/run/signer/signer.sock' },
      key: { type: 'local', keyFile: '/etc/trousseau/signing-key' },
      legacyKeys: [{ file: '/etc/kubernetes/pki/sa.pub' }],
    },
  }
  const socket = { path: 'unix:///run/trousseau/kms.sock' }
  const endpoints = [
    { name: 'one', socket: { path: '/run/one/kms.sock' } },
    { name: 'two', socket: { path: '/run/two/kms.sock' } },
  ]

  assert.equal(pathsOf(parseConfig({ ...common, socket }, 'test')), {
    files: [
      '/etc/trousseau/key',
      '/etc/trousseau/signing-key',
      '/etc/trousseau/r.json',
      '/etc/opa/token',
      '/etc/opa/ca.pem',
      '/etc/opa/cert.pem',
      '/etc/opa/key.pem',
      '/etc/kubernetes/enc/enc.yaml',
      '/etc/trousseau/waiver.pub.pem',
      '/etc/otel/token',
      '/etc/trousseau/audit-key',
      '/etc/kubernetes/pki/sa.pub',
    ],
    folders: ['/etc/opa/cas'],
    sockets: ['/run/opa/opa.sock', '/run/otel/otlp.sock'],
    devices: [],
    listens: [
      '/run/trousseau/kms.sock',
      '/run/signer/signer.sock',
      '/run/admin/page.sock',
      '/run/admin/probes.sock',
    ],
    looked: ['/etc/kubernetes/manifests/kube-apiserver.yaml', '/etc/trousseau/waiver'],
    written: [
      '/run/trousseau',
      '/run/signer',
      '/var/lib/trousseau/state',
      '/var/log/trousseau',
      '/run/admin',
    ],
  })
  const several = pathsOf(parseConfig({ ...common, endpoints }, 'test'))
  assert.equal(several.listens.slice(0, 2), ['/run/one/kms.sock', '/run/two/kms.sock'])
  assert.equal(several.written.slice(0, 2), ['/run/one', '/run/two'])
})

test.run()
