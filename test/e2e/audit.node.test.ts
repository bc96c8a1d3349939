/** The bundle with an audit stream: one record for each request, whatever ends the process, and nothing secret. @module */

import { Buffer } from 'node:buffer'
import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { constants, open, readFile, stat, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import type { KmsClient } from '../../src/grpc/client.ts'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import type { Audited } from '../../src/tools/audit/report.ts'
import { auditFiles, linesAt } from '../_lib/observe/audit_scene.ts'
import { adminPage } from '../_lib/plugin/admin_page.ts'
import { begunModules } from '../_lib/plugin/begun.ts'
import {
  bundleCommand,
  type PluginProcessOptions,
  RUNTIMES,
  runCommand,
  startWellPlugin,
} from '../_lib/plugin/process.ts'
import { LOGIN_SCENES } from '../_lib/services/vault/login_setup.ts'
import { startOpenBao } from '../_lib/services/vault/openbao.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const test = suite('e2e/audit', () => ({}))
const SEED = Buffer.from('planted-seed-of-32-bytes-exactly')
const CALLERS = 16

async function scene(audit: object = {}, more: object = {}) {
  const folder = await tempFolder()
  await createKeyFile(folder.at('keys'), () => Date.now())
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' })
  await writeFile(folder.at('audit-key'), pem, { mode: 0o600 })
  await writeFile(folder.at('audit-key.pub'), publicKey.export({ type: 'spki', format: 'pem' }))
  const config = {
    providers: [{ name: 'here', type: 'local', keyFile: folder.at('keys') }],
    admin: { listen: `unix://${folder.at('admin.sock')}` },
    requestTimeout: '10s',
    audit: { to: folder.at('audit.log'), signingKeyFile: folder.at('audit-key'), ...audit },
    ...more,
  }
  return {
    folder,
    secrets: [`${pem}`.split('\n')[1] ?? '', ...(await keysIn(folder.at('keys')))],
    start: (options: Partial<PluginProcessOptions> = {}) =>
      startWellPlugin({
        folder: folder.path,
        config,
        hosts: [`unix:${folder.at('admin.sock')}`],
        ...options,
      }),
    verify: (...flags: readonly string[]) => verify(folder, flags),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}

async function keysIn(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8')
  return text.match(/[\w+/=-]{40,}/g) ?? []
}

async function verify(folder: TempFolder, flags: readonly string[] = []): Promise<Audited> {
  const files = await auditFiles(folder.path)
  const { code, out, err } = await runCommand(['audit', 'verify', ...files, ...flags, '--json'])
  const audited: Audited = JSON.parse(out)
  assert.is(code, audited.intact ? 0 : 3, err)
  return audited
}

/** What callers were answered, by the uid of each request; they end when the plugin is gone. */
class Load {
  readonly answered: string[] = []
  readonly texts = new Set<string>()
  readonly #done: Promise<unknown>
  #stopped = false

  constructor(client: KmsClient, name = 'u') {
    const callers = Array.from({ length: CALLERS }, (_, at) => this.#ask(client, `${name}-${at}`))
    this.#done = Promise.all(callers)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#done
  }

  async ended(): Promise<void> {
    await this.#done
  }

  async #ask({ v2 }: KmsClient, name: string): Promise<void> {
    for (let turn = 0; !this.#stopped; turn += 1) {
      try {
        const uid = `${name}-${turn}`
        const { ciphertext, keyId, annotations } = await v2.encrypt({
          plaintext: SEED,
          uid: `${uid}-e`,
        })
        this.answered.push(`${uid}-e`)
        if (turn === 0) this.texts.add(Buffer.from(ciphertext).toString('base64').slice(-30))
        await v2.decrypt({ ciphertext, keyId, annotations, uid: `${uid}-d` })
        this.answered.push(`${uid}-d`)
      } catch (error) {
        if (this.#stopped) throw error
        return
      }
    }
  }
}

function sorted(uids: readonly string[]): string[] {
  return uids.toSorted((a, b) => (a < b ? -1 : 1))
}

async function uidsIn(folder: TempFolder): Promise<string[]> {
  const files = await auditFiles(folder.path)
  const lines = (await Promise.all(files.map(linesAt))).flat()
  return lines.flatMap(({ uid }) => (uid === undefined ? [] : String(uid)))
}

for (const runtime of RUNTIMES) {
  test(`under load every answered request has one record, SIGTERM leaves a signed head, and nothing secret is in it (${runtime})`, async () => {
    await using here = await scene({ maxBytes: 65_536 })
    await using plugin = await here.start({ runtime })
    const load = new Load(plugin.client)
    await until('enough is answered', () => load.answered.length >= 1_000)
    await load.stop()
    const page = await adminPage(here.folder.at('admin.sock'), '/metrics')
    assert.match(page, /^trousseau_audit_records_total\{outcome="lost"\} 0$/m)

    assert.is(await plugin.stop(), 0)

    const uids = await uidsIn(here.folder)
    assert.equal(sorted(uids), sorted(load.answered))
    const audited = await here.verify('--key', here.folder.at('audit-key.pub'))
    assert.equal([audited.problems, audited.notes], [[], []])
    assert.is(audited.records, load.answered.length)
    assert.is(audited.signedTo, audited.parts.at(-1)?.to)
    assert.ok(audited.parts.length > 2)
    const files = await auditFiles(here.folder.path)
    const text = (await Promise.all(files.map((file) => readFile(file, 'utf8')))).join('')
    const planted = [SEED.toString(), SEED.toString('base64'), SEED.toString('hex')]
    for (const secret of [...planted, ...here.secrets, ...load.texts]) {
      assert.ok(secret.length > 10)
      assert.not.ok(text.includes(secret), secret)
    }
    for (const file of files) assert.is((await stat(file)).mode & 0o777, 0o600)
    const [record] = (await linesAt(files[0] ?? '')).filter(({ event }) => event === 'request')
    assert.equal(Object.keys(record ?? {}), [
      ...['seq', 'time', 'event', 'endpoint', 'api', 'operation', 'uid', 'key_id_hash', 'code'],
      ...['decision', 'rules', 'providers', 'duration_ms', 'prev'],
    ])
  })
}

test('a process that is killed is told of by the next one, and all that it wrote is there', async () => {
  await using here = await scene()
  {
    await using plugin = await here.start()
    const load = new Load(plugin.client)
    await until('enough is answered', () => load.answered.length >= 500)
    const sofar = [...load.answered]
    await until('so much is written', async () => {
      const written = new Set(
        (await readFile(here.folder.at('audit.log'), 'utf8')).match(/u-\d+-\d+-[ed]/g),
      )
      return sofar.every((uid) => written.has(uid))
    })
    await plugin.stop('SIGKILL')
    await load.ended()
  }
  const killed = await here.verify('--key', here.folder.at('audit-key.pub'))
  assert.ok(killed.intact)
  assert.match(killed.notes.at(-1)?.what ?? '', /^ends (?:without a head|in the middle of a line)/)
  assert.is(killed.signedTo, undefined)

  await using plugin = await here.start()
  await plugin.client.v2.encrypt({ plaintext: SEED, uid: 'after' })
  assert.is(await plugin.stop(), 0)

  const audited = await here.verify('--key', here.folder.at('audit-key.pub'))
  assert.ok(audited.intact)
  assert.equal(
    audited.notes.map(({ what }) => what.replace(/without a head|in the middle of a line/, 'X')),
    ['the run before ended X: killed, or cut off by a crash'],
  )
  assert.is(audited.signedTo, audited.parts.at(-1)?.to)
})

test('a take-over under load leaves a whole chain with every request in it', async () => {
  await using here = await scene()
  await using old = await here.start()
  const first = new Load(old.client, 'old')
  await until('the old one answers', () => first.answered.length >= 200)
  await using young = await here.start({ takeOver: true })
  const second = new Load(young.client, 'young')
  await until('the young one answers', () => second.answered.length >= 200)
  await first.stop()
  assert.is(await old.stop(), 0)
  await second.stop()
  assert.is(await young.stop(), 0)

  const audited = await here.verify('--key', here.folder.at('audit-key.pub'))
  assert.equal(audited.problems, [])
  assert.is(new Set(audited.parts.map(({ run }) => run)).size, 2)
  const uids = await uidsIn(here.folder)
  const asked = [...first.answered, ...second.answered]
  const answered = new Set(asked)
  assert.equal(sorted(uids.filter((uid) => answered.has(uid))), sorted(asked))
})

test('a request that a rule refuses is recorded with the rule', async () => {
  const small = { expression: 'request.size < 100', message: 'Too large' }
  const rules = [
    { ...small, name: 'watched', mode: 'audit' },
    { ...small, name: 'small', mode: 'enforce' },
  ]
  await using here = await scene({}, { policy: { rules } })
  await using plugin = await here.start()
  const large = Buffer.alloc(200, SEED)

  await rejection(plugin.client.v2.encrypt({ plaintext: large, uid: 'refused' }))
  await plugin.client.v2.encrypt({ plaintext: SEED, uid: 'let-through' })
  await rejection(
    plugin.client.v2.decrypt({
      ciphertext: SEED,
      keyId: 'none',
      annotations: {},
      uid: 'no-envelope',
    }),
  )
  assert.is(await plugin.stop(), 0)

  const lines = await linesAt(here.folder.at('audit.log'))
  const said = lines
    .filter(({ event }) => event === 'request')
    .map(({ uid, operation, code, decision, rules: named, providers }) => ({
      ...{ uid, operation, code, decision },
      rules: asRows(named, ['rule', 'mode', 'outcome', 'provider']),
      providers: asRows(providers, ['name', 'operation', 'code']),
    }))
  assert.equal(said, [
    {
      ...{ uid: 'refused', operation: 'Encrypt', code: 'policy_denied', decision: 'refused' },
      rules: ['watched audit would_refuse here', 'small enforce refused here'],
      providers: [],
    },
    {
      ...{ uid: 'let-through', operation: 'Encrypt', code: 'ok', decision: 'allowed' },
      rules: [],
      providers: ['here wrap ok'],
    },
    {
      ...{ uid: 'no-envelope', operation: 'Decrypt', code: said[2]?.code, decision: 'not_made' },
      rules: [],
      providers: [],
    },
  ])
  assert.not.equal(said[2]?.code, 'ok')
})

function asRows(list: unknown, names: readonly string[]): string[] {
  return (list as Record<string, unknown>[]).map((each) =>
    names.map((name) => each[name]).join(' '),
  )
}

test('the login key of the node signs, and OpenBao takes no head for a login', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path })
  const made = await LOGIN_SCENES['jwt, self-signed with ES256']?.({ bao, transit, folder })
  const auth = made?.auth ?? {}
  const { keyFile = '' } = auth['selfSigned'] as { keyFile?: string }
  const provider = {
    name: 'bao',
    type: 'vault',
    allowInsecureHttp: true,
    ...transit.provider,
    auth,
  }
  const config = { providers: [provider], audit: { to: folder.at('audit.log') } }
  await using plugin = await startWellPlugin({ folder: folder.path, config })
  await plugin.client.v2.encrypt({ plaintext: SEED, uid: 'a' })
  assert.is(await plugin.stop(), 0)

  const { code, out } = await runCommand(['login-key', 'public', keyFile])
  assert.is(code, 0)
  await writeFile(folder.at('node.pub'), out)
  const audited = await verify(folder, ['--key', folder.at('node.pub')])
  assert.equal([audited.problems, audited.notes], [[], []])
  assert.is(audited.parts[0]?.signature, 'valid')
  const jwt = (await linesAt(folder.at('audit.log'))).at(-1)?.['signature']
  assert.match(`${jwt}`, /^[\w-]+\.[\w-]+\.[\w-]+$/)
  const refused = await rejection(
    bao.request('POST', 'auth/jwt/login', { role: 'trousseau', jwt }, { 'x-vault-token': '' }),
  )
  assert.match(`${refused}`, /400|403/)
})

test('a stream on standard output can be checked once it is kept', async () => {
  await using here = await scene({ to: 'stdout' })
  const kept: string[] = []
  for (const uid of ['a', 'b']) {
    await using plugin = await here.start()
    await plugin.client.v2.encrypt({ plaintext: SEED, uid })
    assert.is(await plugin.stop(), 0)
    const lines = plugin.output().split('\n')
    kept.push(...lines.filter((line) => line.startsWith('{"seq"')))
  }
  await writeFile(here.folder.at('audit.log'), `${kept.join('\n')}\n`)

  const { intact, records, parts } = await here.verify('--key', here.folder.at('audit-key.pub'))

  assert.ok(intact)
  assert.equal([records, parts.map(({ signature }) => signature)], [2, ['valid', 'valid']])
})

/** A pipe that has a reader which never reads. */
async function stuckPipe(path: string) {
  execFileSync('mkfifo', [path])
  return await open(path, constants.O_RDWR | constants.O_NONBLOCK)
}

test('a reader of standard output that is stuck holds up no request and no end, and is told of', async () => {
  await using here = await scene({ to: 'stdout' })
  const pipe = await stuckPipe(here.folder.at('pipe'))
  try {
    const [command, flags] = bundleCommand({ folder: here.folder.path }, [])
    const into = ['sh', '-c', `exec "$@" > '${here.folder.at('pipe')}'`, 'sh', command, ...flags]
    await using plugin = await here.start({ command: into })
    const load = new Load(plugin.client)
    await until('it is told', () => plugin.events('audit_failed').length > 0)
    const sofar = load.answered.length
    await until('requests are answered all the same', () => load.answered.length >= sofar + 500)
    await load.stop()

    await plugin.stop()

    assert.is(plugin.events('audit_lost').length, 1)
    assert.is(plugin.events('stopped').length, 1)
  } finally {
    await pipe.close()
  }
})

test('a place that cannot be had is told of at the start, and requests are served', async () => {
  await using here = await scene({ to: '/dev/null/audit.log' })
  await using plugin = await here.start()

  const [failed] = await plugin.told('audit_failed')
  assert.match(String(failed?.['message']), 'Audit stream cannot be written to /dev/null/audit.log')
  assert.is(failed?.['level'], 'error')
  await plugin.client.v2.encrypt({ plaintext: SEED, uid: 'a' })
  assert.is(await plugin.stop(), 0)
  assert.is(plugin.events('audit_lost').length, 1)
})

test('a reload that would change the stream is refused', async () => {
  await using here = await scene()
  await using plugin = await here.start()
  const before = JSON.parse(await readFile(plugin.configPath, 'utf8'))
  await writeFile(plugin.configPath, JSON.stringify({ ...before, audit: { to: 'stdout' } }))

  const [refused] = await plugin.told('config_refused')
  assert.match(String(refused?.['message']), 'audit: changes only with a restart')
})

test('without an audit stream nothing of it is loaded', async () => {
  const ours = (names: readonly string[]) => names.filter((name) => /\/audit[./]/.test(name))
  await using none = await tempFolder()
  assert.equal(ours(await begunModules(none, {})), [])

  await using some = await tempFolder()
  const loaded = ours(await begunModules(some, { audit: { to: some.at('audit.log') } }))
  assert.ok(loaded.includes('src/observe/audit/stream.ts'), loaded.join())
  assert.ok(
    loaded.every((name) => !name.startsWith('src/tools/')),
    loaded.join(),
  )
})

test.run()
