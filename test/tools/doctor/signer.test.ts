/** What doctor says of a signer: its socket, its answers, and the flags of the API server. @module */

import { chmod } from 'node:fs/promises'
import { dirname } from 'node:path'
import * as assert from 'uvu/assert'
import { parseConfig } from '../../../src/config/load.ts'
import type { SignerConfig } from '../../../src/config/signer.ts'
import { configFindings } from '../../../src/tools/doctor/config_checks.ts'
import { signerFindings, signerManifestFindings } from '../../../src/tools/doctor/signer_checks.ts'
import type { StaticPod } from '../../../src/tools/kube/static_pod.ts'
import { startFakePlugin } from '../../_lib/grpc/fake_plugin.ts'
import { type FakeSigner, startFakeSigner } from '../../_lib/grpc/fake_signer.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { SIGNED_CONFIG } from '../../_lib/tools/manifest_config.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('tools/doctor/signer', () => ({}))

/** The part of a config with this socket. */
function signerAt(path: string, more: object = {}): SignerConfig {
  const signer = { ...SIGNED_CONFIG.signer, socket: { path, mode: '0600' }, ...more }
  const config = parseConfig({ ...SIGNED_CONFIG, signer }, 'test')
  assert.ok(config.signer)
  return config.signer
}

async function idsOf(path: string): Promise<string[]> {
  return (await signerFindings(signerAt(path))).map(({ id, level }) => `${level} ${id}`)
}

async function idsWith(hooks: FakeSigner, mode: number): Promise<string[]> {
  await using fake = await startFakeSigner(hooks)
  await chmod(dirname(fake.path), 0o711)
  await chmod(fake.path, mode)
  return await idsOf(fake.path)
}

test('a signer that works is named with its key', async () => {
  await using fake = await startFakeSigner()
  await chmod(fake.path, 0o600)
  const [finding, ...more] = await signerFindings(signerAt(fake.path))
  assert.equal([finding?.id, finding?.level, more.length], ['signer', 'ok', 0])
  assert.match(finding?.what ?? '', /signs with [\w-]{43}, and publishes 1 keys/)
})

test('a socket that is not there, open to all, or of something else is found', async () => {
  await using folder = await tempFolder()
  assert.equal(await idsOf(folder.at('none/signer.sock')), ['error socket-folder-missing'])
  assert.equal(await idsOf(folder.at('none.sock')), ['error signer-dead'])
  assert.equal(await idsWith({}, 0o666), ['error signer-open', 'ok signer'])
  await using plugin = await startFakePlugin({})
  await chmod(plugin.path, 0o600)
  assert.equal(await idsOf(plugin.path), ['error signer-unwell'])
})

test('a signer that does not sign, or with a key that nobody knows, is found', async () => {
  const refusing = () => {
    throw new Error('Refused')
  }
  assert.equal(await idsWith({ sign: refusing }, 0o600), ['error signer-unwell'])
  assert.equal(await idsWith({ keys: refusing }, 0o600), ['error signer-unwell'])
  const unknown: FakeSigner = { sign: (_claims, good) => good({ kid: 'unknown' }) }
  assert.equal(await idsWith(unknown, 0o600), ['error signer-unwell'])
})

test('the way to the key is looked at as that of a provider', async () => {
  const address = 'http://vault.vault.svc.cluster.local:8200'
  const way = { type: 'vault', allowInsecureHttp: true, address, auth: { method: 'agent' } }
  const signer = { ...SIGNED_CONFIG.signer, key: { ...way, key: 'k8s-sa' } }
  const findings = await configFindings(parseConfig({ ...SIGNED_CONFIG, signer }, 'test'), '')
  const found = findings.filter(({ what }) => what.startsWith('Provider "signer"'))
  assert.equal(
    found.map(({ id }) => id),
    ['config-plain-http', 'boot-in-cluster-address'],
  )
})

interface Node {
  readonly flags?: readonly string[]
  readonly image?: string
  readonly mounted?: string
  readonly runAsUser?: number
}

const SOCKET = SIGNED_CONFIG.signer.socket.path
const ENDPOINT = `--service-account-signing-endpoint=${SOCKET}`

/** As the parser of manifests gives it. */
function podOf({ flags = [ENDPOINT], image = 'v1.37.2', mounted, runAsUser = 0 }: Node): StaticPod {
  const path = mounted ?? '/run/trousseau-signer'
  const container = {
    name: 'kube-apiserver',
    image: `registry.k8s.io/kube-apiserver:${image}`,
    imagePullPolicy: undefined,
    command: ['kube-apiserver', ...flags],
    args: [],
    securityContext: { runAsUser, runAsGroup: runAsUser },
    livenessProbe: undefined,
    startupProbe: undefined,
    volumeMounts: [{ name: 'signer', mountPath: path }],
  }
  const volumes = [{ name: 'signer', hostPath: { path } }]
  const securityContext = { runAsUser: undefined, runAsGroup: undefined }
  const spec = { hostNetwork: true, securityContext, containers: [container], volumes }
  return { kind: 'Pod', spec }
}

for (const [what, node, wanted] of [
  ['all as it should be', {}, ['ok manifest-signer']],
  ['no endpoint', { flags: [] }, ['notice manifest-signer-unused']],
  [
    'the old files beside it',
    { flags: [ENDPOINT, '--service-account-key-file=/etc/kubernetes/pki/sa.pub'] },
    ['error manifest-signer-files'],
  ],
  [
    'the old signing key beside it',
    { flags: [ENDPOINT, '--service-account-signing-key-file', '/etc/kubernetes/pki/sa.key'] },
    ['error manifest-signer-files'],
  ],
  ['Kubernetes 1.35', { image: 'v1.35.4' }, ['error manifest-signer-version']],
  [
    'tokens longer than the signer allows',
    { flags: [ENDPOINT, '--service-account-max-token-expiration=2h'] },
    ['error manifest-signer-life'],
  ],
  [
    'tokens as long as the signer allows',
    { flags: [ENDPOINT, '--service-account-max-token-expiration=1h'] },
    ['ok manifest-signer'],
  ],
  ['another folder mounted', { mounted: '/run/other' }, ['error manifest-socket-not-mounted']],
  ['a user without the right', { runAsUser: 1000 }, ['error manifest-user']],
] as const satisfies readonly (readonly [string, Node, readonly string[]])[]) {
  test(`the API server's manifest with ${what}: ${wanted.join()}`, async () => {
    const signer = signerAt(SOCKET, { maxTokenLife: '1h' })
    const findings = await signerManifestFindings(podOf(node), signer)
    assert.equal(
      findings.map(({ id, level }) => `${level} ${id}`),
      wanted,
    )
  })
}

test.run()
