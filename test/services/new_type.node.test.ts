/**
 * A new type of provider is a folder of its own and a line in the registry: in a copy of the
 * sources with both, every command knows the type, and the compiler accepts it.
 *
 * @module
 */

import { execFile } from 'node:child_process'
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { NODE } from '../_lib/plugin/process.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const TYPE = `/** A type that only a test has: a local key, behind an address. @module */

import * as v from 'valibot'
import { createLocalProvider } from '../local/provider.ts'
import type { ProviderDescriptor } from '../provider_descriptor.ts'
import { providerFields } from '../provider_fields.ts'

const absolute = v.pipe(v.string(), v.startsWith('/'))
const novelConfig = v.strictObject({
  ...providerFields,
  type: v.literal('novel'),
  where: v.string(),
  seed: absolute,
  trust: absolute,
})
type NovelConfig = v.InferOutput<typeof novelConfig>

export const novelDescriptor = {
  config: novelConfig,
  create: (config, deps) =>
    createLocalProvider({ name: config.name, type: 'local', keyFile: config.seed }, deps),
  addresses: ({ where }) => [{ url: where, as: 'service' }],
  paths: ({ seed, trust }) => ({ files: [seed], folders: [trust], sockets: [] }),
  remarks: () => [
    { id: 'novel', level: 'warning', what: 'is new', why: 'It is.', todo: 'Wait.' },
  ],
  starting: { keys: 'where: https://novel.example.org   # its address\\nseed: /s\\ntrust: /t\\n', next: 'Wait.' },
  opens: ['k8s-cloudkms-plugin'],
  policy: {
    about: 'what a novelty must be told',
    does: 'print it',
    print: (configs) =>
      ({ text: configs.map(({ where }) => where).join(), warnings: ['a warning'] }),
  },
} as const satisfies ProviderDescriptor<NovelConfig>
`

const test = suite('services/new_type', () => ({}))

async function copied(folder: TempFolder): Promise<void> {
  await cp(join(ROOT, 'src'), folder.at('src'), { recursive: true })
  await cp(join(ROOT, 'package.json'), folder.at('package.json'))
  await symlink(join(ROOT, 'node_modules'), folder.at('node_modules'))
  await mkdir(folder.at('src/services/novel'))
  await writeFile(folder.at('src/services/novel/descriptor.ts'), TYPE)
  const registry = folder.at('src/services/registry.ts')
  const text = await readFile(registry, 'utf8')
  const line = '  local: localDescriptor,\n'
  assert.ok(text.includes(line))
  const added = text.replace(line, `${line}  novel: novelDescriptor,\n`)
  await writeFile(registry, `import { novelDescriptor } from './novel/descriptor.ts'\n${added}`)
}

function run(command: string, args: readonly string[], cwd: string) {
  return new Promise<{ code: number | null; out: string; err: string }>((settle) => {
    const child = execFile(command, args, { cwd }, (_error, out, err) => {
      settle({ code: child.exitCode, out, err })
    })
  })
}

test('a type that is a line in the registry is known to config, doctor, manifests, its policy command and serve, and compiles', async () => {
  await using folder = await tempFolder()
  await copied(folder)
  const trousseau = (...args: string[]) =>
    run(NODE, [folder.at('src/main.ts'), ...args], folder.path)
  const provider = {
    name: 'one',
    type: 'novel',
    where: 'http://novel.kms.svc.cluster.local',
    seed: folder.at('key.json'),
    trust: '/etc/novel/authorities',
    reads: ['k8s-cloudkms-plugin'],
  }
  const head = { apiVersion: 'trousseau.io/v1', kind: 'TrousseauConfig' }
  const config = { ...head, socket: { path: folder.at('kms.sock') }, providers: [provider] }
  const file = folder.at('config.json')
  await writeFile(file, JSON.stringify(config))
  assert.is((await trousseau('keygen', folder.at('key.json'))).code, 0)

  const validated = await trousseau('config', 'validate', file)
  const doctor = await trousseau('doctor', '--config', file, '--offline', '--json')
  const pod = await trousseau('manifests', 'static-pod', '--config', file)
  const policy = await trousseau('novel', 'policy', '--config', file)
  const begun = await trousseau('config', 'init', '-', '--type', 'novel')
  await writeFile(
    folder.at('wrong.json'),
    JSON.stringify({ ...config, providers: [{ ...provider, reads: ['kleidi'] }] }),
  )
  const refused = await trousseau('config', 'validate', folder.at('wrong.json'))
  const keys = await trousseau('doctor', '--config', file, '--json')
  const compiled = await run(
    join(ROOT, 'node_modules/.bin/tsc'),
    ['-p', await compilerConfig(folder)],
    folder.path,
  )

  assert.is(validated.code, 0, validated.err)
  assert.equal(
    [parse(begun.out).providers[0], /^# Then: Wait\.$/m.test(begun.out)],
    [
      { name: 'main', type: 'novel', where: 'https://novel.example.org', seed: '/s', trust: '/t' },
      true,
    ],
  )
  const { findings } = JSON.parse(doctor.out) as { findings: { id: string; what: string }[] }
  const found = findings.map(({ id, what }) => `${id}: ${what}`).join('\n')
  for (const id of ['config-plain-http', 'boot-in-cluster-address', 'novel', 'file-missing']) {
    assert.match(found, new RegExp(`^${id}: `, 'm'))
  }
  assert.match(found, /file-missing: \/etc\/novel\/authorities cannot be read/)
  assert.match(keys.out, /Provider \\"one\\" works: /)
  const { spec } = parse(pod.out) as {
    spec: { volumes: { hostPath: { path: string } }[] }
  }
  assert.ok(spec.volumes.some(({ hostPath }) => hostPath.path === '/etc/novel/authorities'))
  assert.equal([policy.code, policy.out], [0, provider.where])
  assert.match(policy.err, /a warning/)
  assert.match(refused.err, /reads: wanted forms that type novel opens: k8s-cloudkms-plugin/)
  assert.is(compiled.code, 0, compiled.out)
})

async function compilerConfig(folder: TempFolder): Promise<string> {
  const own = { extends: join(ROOT, 'tsconfig.json'), include: [folder.at('src')] }
  const types = { typeRoots: [join(ROOT, 'node_modules/@types')] }
  await writeFile(folder.at('tsconfig.json'), JSON.stringify({ ...own, compilerOptions: types }))
  return folder.at('tsconfig.json')
}

test.run()
