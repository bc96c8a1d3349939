// deno-lint-ignore-file no-explicit-any
/** What `trousseau manifests` prints, kind by kind. @module */

import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { parse, parseAllDocuments } from 'yaml'
import { runProgram } from '../../../src/cli/program.ts'
import { KIND_NAMES } from '../../../src/tools/manifests/kinds.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { Refusal, startFakePlugin } from '../../_lib/grpc/fake_plugin.ts'
import { type TempFolder, tempFolder } from '../../_lib/temp_folder.ts'
import { MANIFEST_CONFIG } from '../../_lib/tools/manifest_config.ts'
import { suite } from '../../_lib/uvu.ts'

/** Of gRPC. */
const DEADLINE_EXCEEDED = 4
const UNAVAILABLE = 14
const test = suite('tools/manifests/run', () => ({}))

async function made(folder: TempFolder, kind: string, config: object, ...flags: string[]) {
  await writeFile(folder.at('config.json'), JSON.stringify(config))
  const io = memoryIo()
  const args = ['manifests', kind, '--config', folder.at('config.json'), ...flags]
  const code = await runProgram(args, io)
  return { code, out: io.printed(), err: io.complained() }
}

/** The files of a kind that makes several, by name. */
async function filesOf(folder: TempFolder, kind: string, config: object, ...flags: string[]) {
  const out = await mkdtemp(folder.at('out-'))
  const { code, err } = await made(folder, kind, config, '--out', out, ...flags)
  assert.is(code, 0, err)
  const names = await readdir(out)
  return new Map(
    await Promise.all(
      names.map(async (name) => [name, await readFile(join(out, name), 'utf8')] as const),
    ),
  )
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into what was made
async function objectsOf(kind: string, config: object, ...flags: string[]): Promise<any[]> {
  await using folder = await tempFolder()
  const { code, out, err } = await made(folder, kind, config, ...flags)
  assert.is(code, 0, err)
  return parseAllDocuments(out).flatMap((document) => {
    assert.equal(document.errors, [])
    const value: unknown = document.toJS()
    return value === null ? [] : [value]
  })
}

for (const kind of KIND_NAMES.filter(
  (name) => !['tmpfiles', 'systemd', 'vault', 'vault-agent', 'openshift'].includes(name),
)) {
  test(`manifests ${kind} prints YAML with comments that explain it`, async () => {
    await using folder = await tempFolder()

    assert.ok((await objectsOf(kind, MANIFEST_CONFIG)).length > 0)
    const { out } = await made(folder, kind, MANIFEST_CONFIG)
    assert.match(out, /^# /)
    assert.not.match(out, /undefined|null,|\[object/)
  })
}

test('the pod mounts what the config names and nothing more, asks /livez alone, and has no rights', async () => {
  const [pod] = await objectsOf('static-pod', MANIFEST_CONFIG)

  const [container] = pod.spec.containers
  assert.equal(
    container.volumeMounts.map(({ mountPath, readOnly }: Record<string, unknown>) => [
      mountPath,
      readOnly,
    ]),
    [
      ['/run/trousseau', undefined],
      ['/var/lib/trousseau/state', undefined],
      ['/etc/trousseau', true],
      ['/srv/pki', true],
    ],
  )
  assert.equal(
    pod.spec.volumes.map(({ hostPath }: { hostPath: { path: string } }) => hostPath.path),
    container.volumeMounts.map(({ mountPath }: { mountPath: string }) => mountPath),
  )
  assert.equal(container.livenessProbe.httpGet, { host: '127.0.0.1', port: 8787, path: '/livez' })
  assert.is(container.readinessProbe, undefined)
  assert.equal(container.securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  })
  assert.is(pod.spec.hostNetwork, true)
  assert.is(pod.spec.automountServiceAccountToken, false)
})

/** Providers whose config names files and folders under keys of every kind. */
const ELSEWHERE = {
  ...MANIFEST_CONFIG,
  providers: [
    {
      name: 'azure',
      type: 'azurekms',
      vault: 'trousseau',
      key: 'k8s-etcd',
      tls: { caDir: '/etc/pki/azure-cas/' },
      login: { method: 'azureJson', file: '/etc/kubernetes/azure.json' },
    },
    {
      name: 'vault',
      type: 'vault',
      address: 'unix:///run/vault-agent/agent.sock',
      key: 'k8s-etcd',
      tls: { caDir: '/etc/pki/vault-cas' },
      auth: { method: 'agent' },
    },
  ],
}
const READ = [
  '/etc/kubernetes',
  '/etc/pki/azure-cas',
  '/etc/pki/vault-cas',
  '/etc/trousseau',
  '/run/vault-agent',
]

interface Mount {
  readonly mountPath: string
  readonly readOnly?: boolean
}

/** Of the plugin's container in whatever object runs it. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into what was made
function mountsIn(objects: any[]): Mount[] {
  const workload = objects.find(({ kind }) => kind === 'Pod' || kind === 'DaemonSet')
  const { containers } = workload.kind === 'Pod' ? workload.spec : workload.spec.template.spec
  return containers[0].volumeMounts
}

for (const kind of ['static-pod', 'daemonset', 'kustomize']) {
  test(`manifests ${kind} mounts folders of authorities, azure.json and an agent's socket, whatever their keys are called`, async () => {
    const mounts = mountsIn(await objectsOf(kind, ELSEWHERE))

    const read = mounts.filter(({ readOnly }) => readOnly === true)
    assert.equal(
      read.map(({ mountPath }) => mountPath),
      READ,
    )
  })
}

test('with rules the pod mounts the folders of the files that they look at, and the unit sees the kernel', async () => {
  const waiver = { file: '/srv/waivers/waiver', keyFiles: ['/srv/keys/waiver.pub'] }
  const files = { apiServer: '/etc/kubernetes/manifests/kube-apiserver.yaml' }
  const config = { ...MANIFEST_CONFIG, policy: { files, waiver } }

  const [pod] = await objectsOf('static-pod', config)
  const mounted = pod.spec.containers[0].volumeMounts.map(
    ({ mountPath }: { mountPath: string }) => mountPath,
  )
  for (const folder of ['/etc/kubernetes/manifests', '/srv/waivers', '/srv/keys']) {
    assert.ok(mounted.includes(folder), folder)
  }

  await using folder = await tempFolder()
  const unit = (of: object) =>
    filesOf(folder, 'systemd', of).then((made) => made.get('trousseau.service') ?? '')
  assert.match(await unit(MANIFEST_CONFIG), /^ProcSubset=pid$/m)
  assert.not.match(await unit(config), 'ProcSubset')
})

test('manifests helm-values and talos have the same folders', async () => {
  const [values] = await objectsOf('helm-values', ELSEWHERE)
  const [patch] = await objectsOf('talos', ELSEWHERE)

  assert.equal(values.read, READ)
  const read = mountsIn(patch.machine.pods).filter(({ readOnly }) => readOnly === true)
  assert.equal(
    read.map(({ mountPath }) => mountPath),
    READ,
  )
})

// openshift has a test of its own, and needs an image by its digest.
for (const kind of KIND_NAMES.filter((name) => name !== 'openshift')) {
  test(`manifests ${kind} prints one stream that can be used, or says how to have the files`, async () => {
    await using folder = await tempFolder()
    const files = await filesOf(folder, kind, MANIFEST_CONFIG)
    const { code, out, err } = await made(folder, kind, MANIFEST_CONFIG)
    if (files.size === 1) {
      assert.equal([code, out], [0, [...files.values()][0]])
    } else if ([...files.keys()].every((name) => /\.ya?ml$/.test(name))) {
      const documents = (text: string) =>
        parseAllDocuments(text).map((document) => {
          assert.equal(document.errors, [])
          return document.toJS()
        })
      const byText = (a: unknown, b: unknown) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)
      const apart = [...files.values()].flatMap(documents)
      assert.is(code, 0)
      assert.equal(documents(out).sort(byText), apart.sort(byText))
    } else {
      assert.equal([code, out], [2, ''])
      assert.match(
        err,
        `makes ${files.size} files, which are of no use in one stream: name a folder`,
      )
    }
  })
}

test("manifests vault-agent mounts the agent's socket once, from the agent", async () => {
  await using folder = await tempFolder()
  const files = await filesOf(folder, 'vault-agent', ELSEWHERE)
  const [pod] = parseAllDocuments(files.get('trousseau-pod.yaml') ?? '').map((document) =>
    document.toJS(),
  )

  const paths = mountsIn([pod]).map(({ mountPath }) => mountPath)
  assert.equal(
    paths.filter((path) => path === '/run/vault-agent'),
    ['/run/vault-agent'],
  )
  assert.equal(paths.length, new Set(paths).size)
})

test('manifests vault-agent gives the agent all that its config names to read, and one folder to write to', async () => {
  await using folder = await tempFolder()
  const args = ['--out', folder.at('made')]
  assert.is((await made(folder, 'vault-agent', MANIFEST_CONFIG, ...args)).code, 0)
  const names = (await readdir(folder.at('made'))).toSorted()
  assert.equal(names, ['agent.hcl', 'trousseau-pod.yaml', 'trousseau.yaml'])
  const hcl = await readFile(folder.at('made/agent.hcl'), 'utf8')
  const pod = parse(await readFile(folder.at('made/trousseau-pod.yaml'), 'utf8'))
  const config = parse(await readFile(folder.at('made/trousseau.yaml'), 'utf8'))

  const [plugin, agent] = pod.spec.containers
  const mountOf = (path: string): Mount | undefined =>
    agent.volumeMounts.find(({ mountPath }: Mount) => path.startsWith(`${mountPath}/`))
  const value = (key: string) => new RegExp(`^ *${key} = "([^"]*)"$`, 'm').exec(hcl)?.[1] ?? ''
  for (const key of ['ca_cert', 'role_id_file_path', 'secret_id_file_path']) {
    assert.is(mountOf(value(key))?.readOnly, true, key)
  }
  assert.is(value('ca_cert'), '/srv/pki/ca.pem')
  assert.not.match(hcl, /template|destination/)
  const written = agent.volumeMounts.filter(({ readOnly }: Mount) => readOnly !== true)
  assert.equal(written, [{ name: 'agent-socket', mountPath: '/run/vault-agent' }])
  assert.match(value('socket_mode'), '0600')
  const ofPod = pod.spec.volumes.find(({ name }: { name: string }) => name === 'agent-socket')
  assert.equal(ofPod.emptyDir, { medium: 'Memory' })
  assert.ok(plugin.volumeMounts.some(({ mountPath }: Mount) => mountPath === '/run/vault-agent'))
  assert.equal(config.providers, [
    {
      name: 'vault-prod',
      type: 'vault',
      address: 'unix:///run/vault-agent/agent.sock',
      mount: 'transit',
      key: 'k8s-etcd',
      auth: { method: 'agent' },
    },
  ])
})

test('a token that another webhook mounts asks for no ServiceAccount right of ours', async () => {
  const login = { method: 'workloadIdentity', tenantId: 't', clientId: 'c' }
  const [azure] = ELSEWHERE.providers

  const objects = await objectsOf('daemonset', {
    ...ELSEWHERE,
    providers: [{ ...azure, login }],
  })

  assert.equal(
    objects.map(({ kind }) => kind),
    ['ServiceAccount', 'DaemonSet'],
  )
})

test('every folder that the pod writes to is made for its user, who may read what lies beside the config', async () => {
  await using folder = await tempFolder()
  const { out } = await made(folder, 'tmpfiles', MANIFEST_CONFIG, '--user', '1234')

  assert.equal(
    out.split('\n').filter((line) => line !== '' && !line.startsWith('#')),
    [
      'd /etc/trousseau 0750 root 1234',
      'd /run/trousseau 0700 1234 1234',
      'd /var/lib/trousseau/state 0700 1234 1234',
      'z /etc/trousseau/credentials 0750 root 1234',
      'z /etc/trousseau/trousseau.yaml ~0750 root 1234',
      'z /etc/trousseau/role-id ~0750 root 1234',
      'z /etc/trousseau/credentials/secret-id ~0750 root 1234',
      'd /var/lib/trousseau 0755 root root',
    ],
  )
  const { out: pod } = await made(folder, 'static-pod', MANIFEST_CONFIG)
  assert.match(pod, /^# {3}d \/run\/trousseau 0700 65532 65532$/m)
})

test('a key file is handed to the user of the pod alone, and with --user 0 nothing is handed over', async () => {
  await using folder = await tempFolder()
  const keys = { name: 'keys', type: 'local', keyFile: '/var/lib/trousseau/keys' }
  const config = { ...MANIFEST_CONFIG, providers: [keys], stateDir: undefined }

  const { out } = await made(folder, 'tmpfiles', config)

  assert.match(out, /^z \/var\/lib\/trousseau\/keys 0600 65532 65532$/m)
  assert.match(out, /^d \/var\/lib\/trousseau 0755 root root$/m)
  const { out: ofRoot } = await made(folder, 'tmpfiles', config, '--user', '0')
  assert.not.match(ofRoot, /^z /m)
})

const AUDITED = {
  ...MANIFEST_CONFIG,
  audit: { to: '/var/log/trousseau/audit.log', signingKeyFile: '/srv/keys/audit-key' },
}

test('the folder of the audit file is made, and written to by pod and unit; its key is read', async () => {
  await using folder = await tempFolder()
  const [pod] = await objectsOf('static-pod', AUDITED)
  const mounts = pod.spec.containers[0].volumeMounts.map(
    ({ mountPath, readOnly }: Record<string, unknown>) => [mountPath, readOnly],
  )
  const { out: tmpfiles } = await made(folder, 'tmpfiles', AUDITED)
  const unit = (await filesOf(folder, 'systemd', AUDITED)).get('trousseau.service') ?? ''
  const { out: values } = await made(folder, 'helm-values', AUDITED)

  assert.equal(
    mounts.filter(([path]: [string]) => /log|keys/.test(path)),
    [
      ['/var/log/trousseau', undefined],
      ['/srv/keys', true],
    ],
  )
  assert.match(tmpfiles, /^d \/var\/log\/trousseau 0700 65532 65532$/m)
  assert.match(unit, /^LogsDirectory=trousseau\nLogsDirectoryMode=0700$/m)
  assert.not.match(unit, 'ReadWritePaths=/var/log')
  assert.match(values, /^written:[\s\S]*\/var\/log\/trousseau[\s\S]*^read:/m)
})

test('an audit stream on standard output needs no folder', async () => {
  const mounts = async (config: object) => {
    const [pod] = await objectsOf('static-pod', config)
    return pod.spec.containers[0].volumeMounts
  }

  assert.equal(
    await mounts({ ...MANIFEST_CONFIG, audit: { to: 'stdout' } }),
    await mounts(MANIFEST_CONFIG),
  )
})

test('without an admin server on a port the probe asks the socket, and only a plugin that hangs or is gone fails it', async () => {
  await using folder = await tempFolder()
  for (const admin of [undefined, { listen: 'unix:///run/trousseau/admin.sock' }]) {
    const objects = await objectsOf('static-pod', { ...MANIFEST_CONFIG, admin })
    const [{ exec }] = objects.flatMap(({ spec }) =>
      spec.containers.map((each: { livenessProbe: object }) => each.livenessProbe),
    )
    const [program, ...args] = exec.command
    assert.is(program, '/usr/bin/trousseau')
    const probe = (path: string, ...more: readonly string[]) => {
      const there = args.map((word: string) => (word === MANIFEST_CONFIG.socket.path ? path : word))
      return runProgram([...there, ...more], memoryIo())
    }
    await using well = await startFakePlugin({})
    await using away = await startFakePlugin({
      status: () => {
        throw new Refusal('The key service is away', { code: UNAVAILABLE })
      },
    })
    await using unwell = await startFakePlugin({
      status: (good) => ({ ...good, healthz: 'not ok' }),
    })
    await using frozen = await startFakePlugin({
      status: () => {
        throw new Refusal('The key service gave no answer in time', { code: DEADLINE_EXCEEDED })
      },
    })
    await using hangs = await startFakePlugin({ before: () => new Promise(() => undefined) })
    for (const plugin of [well, away, frozen, unwell]) assert.is(await probe(plugin.path), 0)
    assert.is(await runProgram(['status', '--socket', away.path], memoryIo()), 3)
    assert.is(await probe(hangs.path, '--timeout', '200ms'), 3)
    assert.is(await probe(folder.at('none.sock')), 1)
  }
})

test('a ServiceAccount token and the right to review it are there only for the login method kubernetes', async () => {
  const [provider] = MANIFEST_CONFIG.providers
  const auth = { method: 'kubernetes', role: 'trousseau' }
  const kinds = (objects: { kind: string }[]) => objects.map(({ kind }) => kind)

  const plain = await objectsOf('daemonset', MANIFEST_CONFIG)
  const asking = await objectsOf('daemonset', {
    ...MANIFEST_CONFIG,
    providers: [{ ...provider, auth }],
  })

  assert.equal(kinds(plain), ['ServiceAccount', 'DaemonSet'])
  assert.equal(kinds(asking), ['ServiceAccount', 'ClusterRoleBinding', 'DaemonSet'])
  const tokenFile = '/var/run/secrets/vault/token'
  const elsewhere = await objectsOf('daemonset', {
    ...MANIFEST_CONFIG,
    providers: [{ ...provider, auth: { ...auth, tokenFile } }],
  })
  assert.equal(kinds(elsewhere), kinds(asking))
  const names = (object: { spec: { template: { spec: { volumes: { name: string }[] } } } }) =>
    object.spec.template.spec.volumes.map(({ name }) => name)
  assert.ok(names(asking[2]).includes('token'))
  assert.not.ok(names(plain[1]).includes('token'))
})

test('manifests encryption-config names no resource that the API server would encrypt nothing of', async () => {
  await using folder = await tempFolder()
  const encryption = async (names: string) =>
    await made(folder, 'encryption-config', MANIFEST_CONFIG, '--resources', names)
  for (const [names, said] of [
    ['secret', 'secret: the resource is called secrets'],
    ['secrets,cm', 'cm: the resource is called configmaps'],
    ['deployments', 'deployments: the resource is called deployments.apps'],
    ['nonsense', 'nonsense: the core group has no such resource'],
    ['*', "a star alone means nothing. Write '*.' for the core group, or '*.*' for everything."],
    ['secrets,*.', 'a wildcard stands beside what it covers'],
    ['', 'Wanted names as in an EncryptionConfiguration'],
  ] as const) {
    const { code, out, err } = await encryption(names)
    assert.equal([code, out], [2, ''], names)
    assert.match(err, said)
  }
  for (const names of ['secrets,deployments.apps,widgets.example.org', '*.', '*.apps', '*.*']) {
    assert.is((await encryption(names)).code, 0, names)
  }
})

test('a config straight in a folder of the system is refused: the folder gets owner and mode of the plugin', async () => {
  await using folder = await tempFolder()
  for (const path of ['/etc/trousseau.yaml', '/etc/trousseau/../x.yaml', 'trousseau.yaml']) {
    const { code, err } = await made(folder, 'tmpfiles', MANIFEST_CONFIG, '--config-path', path)
    assert.is(code, 2)
    assert.match(err, 'in a folder of its own')
  }
})

test('the unit loads what the config expects from systemd, and keeps the socket folder over a restart', async () => {
  await using folder = await tempFolder()
  const [provider] = MANIFEST_CONFIG.providers
  const secretIdFile = '/run/credentials/trousseau.service/secret-id'
  const auth = { ...provider?.auth, secretIdFile }

  const config = { ...MANIFEST_CONFIG, providers: [{ ...provider, auth }] }
  const out = (await filesOf(folder, 'systemd', config)).get('trousseau.service') ?? ''

  assert.match(out, /^LoadCredentialEncrypted=secret-id:\/etc\/credstore.encrypted\/secret-id$/m)
  assert.match(out, /^RuntimeDirectory=trousseau$/m)
  assert.match(out, /^RuntimeDirectoryPreserve=yes$/m)
  assert.match(out, /^StateDirectory=trousseau\/state$/m)
  assert.match(
    out,
    /^ExecStart=\/usr\/local\/bin\/trousseau serve --config \/etc\/trousseau\/trousseau.yaml$/m,
  )
})

test('the unit leaves no core dump, and no seed in memory that is free', async () => {
  await using folder = await tempFolder()
  const unit = (await filesOf(folder, 'systemd', MANIFEST_CONFIG)).get('trousseau.service') ?? ''

  assert.match(unit, /^LimitCORE=0$/m)
  // test/e2e/memory.node.test.ts shows what it does.
  assert.match(unit, /^Environment=GLIBC_TUNABLES=glibc\.malloc\.perturb=165$/m)
})

test('a login key in the TPM has the unit given that device and no other, and a pod say that it has none', async () => {
  await using folder = await tempFolder()
  const [provider] = MANIFEST_CONFIG.providers
  const tpm = { keyFile: '/etc/trousseau/login-key.json' }
  const auth = { method: 'jwt', selfSigned: { tpm, audience: 'vault', subject: 'cp-1' } }
  const config = { ...MANIFEST_CONFIG, providers: [{ ...provider, auth }] }

  const unit = (await filesOf(folder, 'systemd', config)).get('trousseau.service') ?? ''
  const plain = (await filesOf(folder, 'systemd', MANIFEST_CONFIG)).get('trousseau.service') ?? ''
  const { out } = await made(folder, 'static-pod', config)

  assert.match(
    unit,
    /^DevicePolicy=closed\nDeviceAllow=\/dev\/tpmrm0 rw\nSupplementaryGroups=tss\nPrivateUsers=/m,
  )
  assert.not.match(unit, /PrivateDevices/)
  assert.match(plain, /^PrivateDevices=yes\nPrivateUsers=yes$/m)
  assert.not.match(plain, /Device(?:Policy|Allow)|tss/)
  assert.match(
    out,
    /^# This pod may not use \/dev\/tpmrm0, where the login key is: run the plugin/m,
  )
})

test('the EncryptionConfiguration names v2, the socket, and identity last', async () => {
  const flags = [
    '--provider-name',
    'kms-one',
    '--resources',
    'secrets,configmaps,widgets.example.org',
  ]
  const [config] = await objectsOf('encryption-config', MANIFEST_CONFIG, ...flags)

  const [rule] = config.resources
  assert.equal(rule.resources, ['secrets', 'configmaps', 'widgets.example.org'])
  assert.equal(rule.providers, [
    {
      kms: {
        apiVersion: 'v2',
        name: 'kms-one',
        endpoint: 'unix:///run/trousseau/kms.sock',
        timeout: '3s',
      },
    },
    { identity: {} },
  ])
})

test('--out writes the files, and overwrites none', async () => {
  await using folder = await tempFolder()
  const flags = ['--out', folder.at('made')]
  const first = await made(folder, 'kustomize', MANIFEST_CONFIG, ...flags)
  assert.is(first.code, 0)
  assert.equal((await readdir(folder.at('made'))).toSorted(), [
    'daemonset.yaml',
    'kustomization.yaml',
  ])
  await writeFile(folder.at('made/daemonset.yaml'), 'precious')

  const again = await made(folder, 'kustomize', MANIFEST_CONFIG, ...flags)

  assert.is(again.code, 1)
  assert.match(again.err, /kustomization.yaml: it is there already: name another folder/)
  assert.is(await readFile(folder.at('made/daemonset.yaml'), 'utf8'), 'precious')
})

test('a kind that the config gives no occasion for is refused', async () => {
  await using folder = await tempFolder()
  const config = {
    ...MANIFEST_CONFIG,
    providers: [{ name: 'l', type: 'local', keyFile: '/srv/k' }],
  }

  const { code, err } = await made(folder, 'vault', config)

  assert.is(code, 2)
  assert.match(err, /has no provider that "manifests vault" is about/)
})

/** The pod that an object runs, whichever kind it is of. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into what was made
function podOf(object: any): any {
  const pod = object.machine?.pods[0] ?? object
  return pod.spec.template?.spec ?? pod.spec
}

for (const kind of ['static-pod', 'daemonset', 'kustomize', 'vault-agent', 'talos'] as const) {
  test(`manifests ${kind} gives the pod the SELinux type that was asked for, and otherwise none`, async () => {
    await using folder = await tempFolder()
    const plain = podsOf(await filesOf(folder, kind, MANIFEST_CONFIG))
    const typed = podsOf(await filesOf(folder, kind, MANIFEST_CONFIG, '--selinux-type', 'spc_t'))

    assert.equal(
      plain.map(({ securityContext }) => securityContext.seLinuxOptions),
      [undefined],
    )
    const seLinuxOptions = { type: 'spc_t', level: 's0' }
    assert.equal(
      typed.map(({ securityContext }) => securityContext),
      plain.map(({ securityContext }) => ({ ...securityContext, seLinuxOptions })),
    )
  })
}

test('manifests helm-values carries the SELinux type that was asked for, and otherwise none', async () => {
  const [plain] = await objectsOf('helm-values', MANIFEST_CONFIG)
  const [typed] = await objectsOf('helm-values', MANIFEST_CONFIG, '--selinux-type', 'spc_t')

  assert.equal(typed, { ...plain, selinuxType: 'spc_t' })
})

/** Every pod in what was made. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into what was made
function podsOf(files: ReadonlyMap<string, string>): any[] {
  const objects = [...files]
    .filter(([name]) => name.endsWith('.yaml'))
    .flatMap(([, text]) => parseAllDocuments(text).map((document) => document.toJS()))
  return objects
    .filter(
      (object) => ['Pod', 'DaemonSet'].includes(object?.kind) || object?.machine !== undefined,
    )
    .map(podOf)
}

const UNLABELLED = [
  'd /etc/trousseau 0750 root 65532',
  'd /run/trousseau 0700 65532 65532',
  'd /var/lib/trousseau/state 0700 65532 65532',
]
for (const [type, commands, relabelled] of [
  [
    'spc_t',
    ["semanage fcontext -a -t container_file_t '/run/trousseau(/.*)?'"],
    ['Z /run/trousseau - - - -'],
  ],
  [
    'container_t',
    [
      "semanage fcontext -a -t container_file_t '/run/trousseau(/.*)?'",
      "semanage fcontext -a -t container_file_t '/var/lib/trousseau/state(/.*)?'",
      "semanage fcontext -a -t container_ro_file_t '/etc/trousseau(/.*)?'",
    ],
    ['Z /run/trousseau - - - -', 'Z /var/lib/trousseau/state - - - -', 'Z /etc/trousseau - - - -'],
  ],
] as const) {
  test(`manifests tmpfiles for ${type} labels the plugin's own folders and none of the system's`, async () => {
    await using folder = await tempFolder()

    const { out } = await made(folder, 'tmpfiles', MANIFEST_CONFIG, '--selinux-type', type)

    const lines = out.split('\n')
    assert.equal(
      lines.filter((line) => line !== '' && !/^#|^z |0755 root root$/.test(line)),
      [...UNLABELLED, ...relabelled],
    )
    assert.equal(
      lines.filter((line) => line.includes('semanage')).map((line) => line.replace(/^# +/, '')),
      commands,
    )
  })
}

for (const [type, wanted] of [
  ['system_u:system_r:spc_t:s0', /Wanted the type alone, such as spc_t/],
  ['container_file_t', /That is a type of files/],
  ['var_run_t', /That is a type of files/],
  ['spc t', /Wanted the type of a process/],
  ['', /Wanted the type of a process/],
] as const) {
  test(`--selinux-type "${type}" is refused in words`, async () => {
    await using folder = await tempFolder()

    const flags = ['--selinux-type', type]
    const { code, out, err } = await made(folder, 'static-pod', MANIFEST_CONFIG, ...flags)

    assert.equal([code, out], [2, ''])
    assert.match(err, wanted)
  })
}

test('--selinux-type is refused for a kind that makes no pod', async () => {
  await using folder = await tempFolder()
  const makesNone = ['systemd', 'encryption-config', 'vault', 'kubeadm', 'k3s', 'rke2', 'kubespray']

  for (const kind of makesNone) {
    const { code, err } = await made(folder, kind, MANIFEST_CONFIG, '--selinux-type', 'spc_t')

    assert.is(code, 2, kind)
    assert.match(err, new RegExp(`is for pods, and "manifests ${kind}" makes none`))
  }
})

test('--selinux-type never gives a folder of the system another label', async () => {
  await using folder = await tempFolder()
  const config = { ...MANIFEST_CONFIG, socket: { path: '/run/kms.sock' } }

  const { code, err } = await made(folder, 'tmpfiles', config, '--selinux-type', 'spc_t')

  assert.is(code, 2)
  assert.match(err, /\/run is a folder of the system, and must keep its SELinux label/)
})

for (const [flag, value, wanted] of [
  ['--image', undefined, /argument missing/],
  ['--user', 'root', /Wanted a numeric user id/],
  ['--config-path', 'relative', /Wanted an absolute path/],
  ['--resources', 'Secrets!', /Wanted names as in an EncryptionConfiguration/],
  ['--provider-name', 'a:b', /Wanted small letters, digits and "-"/],
] as const) {
  test(`${flag} ${value ?? ''} is refused`, async () => {
    await using folder = await tempFolder()
    const flags = value === undefined ? [flag] : [flag, value]

    const { code, err } = await made(folder, 'static-pod', MANIFEST_CONFIG, ...flags)

    assert.is(code, 2)
    assert.match(err, wanted)
  })
}

test.run()
