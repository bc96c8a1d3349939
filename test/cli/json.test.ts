/**
 * `--json` prints exactly one document on standard output, for every command that reports
 * something, whether it succeeds or fails.
 *
 * @module
 */

import { generateKeyPairSync } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { Command } from 'commander'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { signature } from '../../build/sign.ts'
import { addCommands } from '../../src/cli/commands.ts'
import { oneDocument } from '../../src/cli/one_document.ts'
import { runProgram } from '../../src/cli/program.ts'
import { generateRecoveryKey } from '../../src/recovery/jwk.ts'
import { writeKeyPair } from '../../src/recovery/key_file.ts'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import { memoryIo } from '../_lib/console/memory_io.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { storedByPlugin } from '../_lib/tools/stored_by_plugin.ts'
import { suite } from '../_lib/uvu.ts'

/** They serve, show a page, or print what is to be put into a file. */
const PRINT_FILES = [
  'config init',
  'demo',
  'serve',
  'top',
  'config schema',
  'manifests',
  'vault policy',
  'awskms policy',
  'azurekms policy',
  'gcpkms policy',
  'completion',
  'login-key public',
]
/** How they succeed is shown by the tests of their own, which have the servers for it. */
const WELL_ELSEWHERE = ['migrate', 'vault setup', 'login-key state']
const WAIVER = [
  ...['--node', 'cp-1', '--machine', 'a'.repeat(64), '--rule', 'lockdown'],
  ...['--who', 'A. Person', '--why', 'kernel update'],
]
const NOBODY = '/nonexistent/kms.sock'
const failure = v.object({
  error: v.strictObject({
    code: v.pipe(v.string(), v.minLength(1)),
    message: v.pipe(v.string(), v.minLength(1)),
    problems: v.optional(v.array(v.string())),
    hint: v.optional(v.string()),
  }),
})

const test = suite('cli/json', () => ({}))

interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

async function run(argv: readonly string[]): Promise<Ran> {
  const io = memoryIo()
  const code = await runProgram(argv, io)
  return { code, out: io.printed(), err: io.complained() }
}

function leavesOf(command: Command, above = ''): (readonly [name: string, command: Command])[] {
  const shown = command.createHelp().visibleCommands(command)
  return shown
    .filter((each) => each.name() !== 'help')
    .flatMap((each) => {
      const name = `${above}${each.name()}`
      return each.commands.length === 0 ? [[name, each] as const] : leavesOf(each, `${name} `)
    })
}

/** A plugin with a local key and a recovery key, one Secret in etcd under it, and a signed file. */
async function world() {
  const folder = await tempFolder()
  await createKeyFile(folder.at('keys'), () => Date.now())
  await writeKeyPair(folder.at('recovery'), await generateRecoveryKey('X25519'), undefined)
  const config = {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: folder.at('kms.sock') },
    providers: [{ name: 'local', type: 'local', keyFile: folder.at('keys') }],
    recovery: { recipients: [folder.at('recovery.pub.json')] },
  }
  await writeFile(folder.at('config.json'), JSON.stringify(config), { mode: 0o600 })
  const auth = { method: 'token', tokenFile: folder.at('token') }
  const vault = { name: 'v', type: 'vault', address: 'https://127.0.0.1:1', key: 'k', auth }
  await writeFile(folder.at('vault.json'), JSON.stringify({ ...config, providers: [vault] }))
  await writeFile(folder.at('token'), 'of-an-administrator', { mode: 0o600 })
  await writeFile(folder.at('bad.json'), JSON.stringify({ ...config, providers: [], stateDri: 1 }))
  const pair = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  await writeFile(folder.at('key.pub'), pair.publicKey)
  await writeFile(folder.at('key'), pair.privateKey)
  await writeFile(folder.at('key.pem'), pair.privateKey, { mode: 0o600 })
  await writeFile(folder.at('signed'), 'text')
  const signed = signature(new TextEncoder().encode('text'), pair.privateKey)
  await writeFile(folder.at('signed.sig'), `${signed}\n`)

  const begin = { seq: 1, time: '', event: 'begin', format: 1, version: '', node: '', run: '' }
  const line = JSON.stringify({ ...begin, after: 'nothing', prev: null })
  await writeFile(folder.at('audit.log'), `${line}\n`)
  await writeFile(folder.at('changed.log'), `${line}\n${line}\n`)
  const names = Array.from({ length: 600 }, (_, at) => `s${at}`)
  const stored = await storedByPlugin(config, names, 'planted-77ab')
  return {
    at: folder.at,
    etcd: stored.etcd,
    config: ['--config', folder.at('config.json')],
    async [Symbol.asyncDispose]() {
      await stored[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}
type World = Awaited<ReturnType<typeof world>>

/** Of each command what it does well, and ways in which it fails, with the exit code. */
function casesOf({ at, etcd, config }: World) {
  const socket = ['--socket', at('kms.sock')]
  const deaf = ['--socket', NOBODY]
  const stored = ['--endpoints', etcd.endpoint]
  const gone = ['--endpoints', 'http://127.0.0.1:1']
  const key = ['--recovery-key', at('recovery')]
  const short = ['--duration', '100ms']
  const bad = ['--config', at('bad.json')]
  const taken: Fault = [[at('keys')], 1, 'request_invalid']
  const none = { well: [], faults: [] }
  const cases: Record<string, Case> = {
    status: {
      well: [socket, config],
      faults: [
        [deaf, 1, 'unavailable'],
        [bad, 2, 'config_invalid'],
        [[], 2, 'usage'],
      ],
    },
    // That nobody answers is a finding of its own.
    check: { well: [socket], faults: [[[...socket, '--xml'], 2, 'usage']] },
    scan: {
      well: [stored, [...stored, ...config]],
      faults: [
        [gone, 1, 'unavailable'],
        [[...stored, ...deaf], 1, 'unavailable'],
      ],
    },
    bench: { well: [[...socket, ...short]], faults: [[[...deaf, ...short], 1, 'unavailable']] },
    keygen: { well: [[at('new')], [at('new'), '--add-version']], faults: [taken] },
    'config validate': {
      well: [[at('config.json')]],
      faults: [
        [[at('bad.json')], 2, 'config_invalid'],
        [[at('none')], 2, 'config_invalid'],
      ],
    },
    'vault setup': {
      well: [],
      faults: [
        [
          ['--config', at('vault.json'), '--dry-run', '--token-file', at('token')],
          1,
          'unavailable',
        ],
        [['--config', at('vault.json'), '--apply'], 2, 'usage'],
      ],
    },
    'login-key create': { well: [[at('login')]], faults: [taken] },
    'login-key state': {
      ...none,
      faults: [
        [['--device', NOBODY], 1, 'unavailable'],
        [['--device', 'tpm0'], 1, 'request_invalid'],
      ],
    },
    'login-key authorize': {
      well: [[at('policies'), '--key', at('key'), '--pcr', `7=${'ab'.repeat(32)}`]],
      faults: [
        [[at('other'), '--key', at('key')], 1, 'request_invalid'],
        [[at('other'), '--key', at('key'), '--pcr', '7=ab'], 2, 'usage'],
        [[at('keys'), '--key', at('key'), '--pcr', `7=${'ab'.repeat(32)}`], 1, 'request_invalid'],
      ],
    },
    'policy facts': { well: [config], faults: [[bad, 2, 'config_invalid']] },
    'policy test': {
      well: [config, [...config, '--expect', 'lockdown=passes']],
      faults: [
        [[...config, '--facts', at('keys')], 1, 'request_invalid'],
        [[...config, '--expect', 'lockdown'], 2, 'usage'],
      ],
    },
    'policy explain': {
      well: [[...config, '--operation', 'decrypt']],
      faults: [[[...config, '--provider', 'none'], 2, 'config_invalid']],
    },
    'policy waiver': {
      well: [['--key', at('key.pem'), ...WAIVER]],
      faults: [[['--key', at('none'), ...WAIVER], 1, 'denied']],
    },
    'recovery-key create': { well: [[at('more'), '--no-passphrase']], faults: [taken] },
    'recovery-key verify': {
      well: [[...socket, '--key', at('recovery')]],
      faults: [[[...deaf, '--key', at('recovery')], 1, 'unavailable']],
    },
    'recover list': {
      well: [stored],
      faults: [
        [gone, 1, 'unavailable'],
        [[...stored, '--name', 'other'], 1, 'request_invalid'],
      ],
    },
    'recover drill': {
      well: [[...stored, ...key]],
      faults: [
        [[...gone, ...key], 1, 'unavailable'],
        [stored, 2, 'config_invalid'],
      ],
    },
    'recover export': {
      well: [
        [...stored, ...key, '--out', at('out')],
        [...stored, ...key, '--out', '-'],
      ],
      faults: [
        [[...stored, ...key, '--out', at('keys')], 1, 'request_invalid'],
        [[...stored, ...key, '--out', '-', '--name', 'other'], 1, 'request_invalid'],
      ],
    },
    doctor: { well: [[...config, '--offline']], faults: [[[], 2, 'usage']] },
    migrate: { ...none, faults: [[['--kubeconfig', at('none')], 1, 'request_invalid']] },
    'audit verify': {
      well: [[at('audit.log')], [at('audit.log'), at('changed.log')]],
      faults: [[[at('none')], 1, 'request_invalid']],
    },
    'verify-bundle': {
      well: [[at('signed'), '--key', at('key.pub')]],
      faults: [[[at('keys'), '--key', at('key.pub')], 1, 'request_invalid']],
    },
    explain: { well: [[], ['denied']], faults: [[['none'], 1, 'request_invalid']] },
    version: { well: [[]], faults: [[['more'], 2, 'usage']] },
  }
  return cases
}
type Fault = readonly [args: readonly string[], code: number, error: string]
interface Case {
  readonly well: readonly (readonly string[])[]
  readonly faults: readonly Fault[]
}

test('every command that tells something prints one document with --json, well or failing', async () => {
  await using here = await world()
  const cases = casesOf(here)
  const program = new Command('trousseau')
  addCommands(program, memoryIo(), () => undefined)
  const telling = leavesOf(program).filter(([name]) => !PRINT_FILES.includes(name))
  assert.equal(new Set(telling.map(([name]) => name)), new Set(Object.keys(cases)))
  for (const [name, command] of telling) {
    assert.ok(
      command.options.some(({ long }) => long === '--json'),
      `${name} has no --json`,
    )
    const { well = [], faults = [] } = cases[name] ?? {}
    assert.ok(faults.length > 0 && (well.length > 0 || WELL_ELSEWHERE.includes(name)), name)
    for (const args of well) {
      const { code, out, err } = await run([...name.split(' '), ...args, '--json'])
      const what = `${name} ${args.join(' ')}: ${err}`
      assert.ok([0, 3].includes(code), what)
      assert.not.ok('error' in JSON.parse(out), what)
    }
    for (const [args, wanted, error] of faults) {
      const argv = [...name.split(' '), ...args]
      const { code, out, err } = await run([...argv, '--json'])
      const what = `${name} ${args.join(' ')}: ${err}`
      assert.is(code, wanted, what)
      assert.is(v.parse(failure, JSON.parse(out)).error.code, error, what)
      assert.match(err, /^trousseau: /m, what)
      const plain = await run(argv)
      assert.equal([plain.code, plain.err], [code, err], what)
    }
  }
})

test('the document of an error has the words of standard error, and each problem of a config', async () => {
  await using here = await world()

  const { out, err } = await run(['config', 'validate', here.at('bad.json'), '--json'])

  const { message, problems = [], hint } = v.parse(failure, JSON.parse(out)).error
  assert.ok(problems.length > 1)
  assert.is(message, problems.join('\n'))
  const lines = problems.map((problem) => `trousseau: ${problem}\n`).join('')
  assert.is(err, `${lines}hint: ${hint}\n`)
})

test('vault setup --json does not pass a script off as a document', async () => {
  const { code, out } = await run(['vault', 'setup', '--config', '/c', '--json'])

  assert.is(code, 2)
  assert.match(v.parse(failure, JSON.parse(out)).error.message, '--json needs --apply or --dry-run')
})

test('what a command that was stopped would still print is no second document', async () => {
  await using here = await world()
  const io = memoryIo()
  const stopped = {
    ...io,
    err: () => io.halt(),
  }

  const args = ['bench', '--socket', here.at('kms.sock'), '--duration', '100ms', '--json']
  assert.is(await runProgram(args, stopped), 130)
  assert.is(JSON.parse(io.printed()).interrupted, true)

  const early = memoryIo()
  early.halt()
  assert.is(await runProgram(['status', '--socket', here.at('kms.sock'), '--json'], early), 130)
  const { error } = v.parse(failure, JSON.parse(early.printed()))
  assert.is(error.code, 'interrupted')

  const late = memoryIo()
  const { io: within, fail } = oneDocument(late)
  fail({ code: 'interrupted', message: 'Stopped' })
  within.out('{}')
  fail({ code: 'internal', message: 'Again' })
  assert.equal(JSON.parse(late.printed()), { error: { code: 'interrupted', message: 'Stopped' } })
})

test('a list of which reading fails halfway is whole all the same, and has the error', async () => {
  await using here = await world()
  const { etcd } = here
  const io = memoryIo()
  const failing = {
    ...io,
    out(text: string) {
      io.out(text)
      if (text.includes('"shop"')) void etcd[Symbol.asyncDispose]()
    },
  }

  const args = ['recover', 'list', '--endpoints', etcd.endpoint, '--json']
  assert.is(await runProgram(args, failing), 1)

  const document = JSON.parse(io.printed())
  assert.is(document.objects.length, 500)
  assert.is(v.parse(v.looseObject(failure.entries), document).error.code, 'unavailable')
})

test('an export to a file says as JSON what it wrote, and one that comes to nothing why', async () => {
  await using here = await world()
  const { at, etcd } = here
  const stored = ['recover', 'export', '--endpoints', etcd.endpoint, '--json']

  const well = await run([...stored, '--recovery-key', at('recovery'), '--out', at('out')])
  assert.is(well.code, 0, well.err)
  const told = { revision: '1234', exported: 600, notExported: 0, differ: 0, problems: [] }
  assert.equal(JSON.parse(well.out), { file: at('out'), ...told })
  assert.is(JSON.parse(await readFile(at('out'), 'utf8')).items.length, 600)

  await writeKeyPair(at('stranger'), await generateRecoveryKey('X25519'), undefined)
  const none = await run([...stored, '--recovery-key', at('stranger'), '--out', '-'])
  assert.is(none.code, 3)
  const { exported, notExported, problems } = JSON.parse(none.out)
  assert.equal([exported, notExported, problems.length], [0, 600, 600])
  assert.match(problems[0].reason, /is not one of the recipients/)
  assert.not.match(none.out, 'planted-77ab')
})

test('the documents of keys name their files and their public halves, and nothing private', async () => {
  await using here = await world()
  const { at } = here
  const document = async (...args: string[]) => JSON.parse((await run([...args, '--json'])).out)

  const local = await document('keygen', at('local'))
  assert.equal([local.file, local.versions, local.added], [at('local'), 1, false])
  const more = await document('keygen', at('local'), '--add-version')
  assert.equal([more.id, more.versions, more.added], [local.id, 2, true])

  const login = await document('login-key', 'create', at('login'), '--subject', 'cp-1')
  assert.equal([login.file, login.subject, login.type], [at('login'), 'cp-1', 'ES256'])
  assert.match(login.publicKey.pem, /^-----BEGIN PUBLIC KEY-----\n/)
  assert.is(login.publicKey.jwk.d, undefined)

  const recovery = await document('recovery-key', 'create', at('more'), '--no-passphrase')
  assert.equal([recovery.publicFile, recovery.encrypted], [at('more.pub.json'), false])
  const proof = await document(
    ...['recovery-key', 'verify', '--socket', at('kms.sock'), '--key', at('recovery')],
  )
  assert.equal([proof.opens, proof.recipients], [true, 1])
})

test.run()
