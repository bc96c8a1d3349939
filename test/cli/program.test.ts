import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { relative } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { runProgram } from '../../src/cli/program.ts'
import configJsonSchema from '../../src/config/config.schema.json' with { type: 'json' }
import { RUNTIME, VERSION } from '../../src/plugin/version.ts'
import { PROVIDER_TYPES } from '../../src/services/registry.ts'
import { memoryIo } from '../_lib/console/memory_io.ts'
import {
  FAKE_KEY_ID,
  type FakeOptions,
  Refusal,
  startFakePlugin,
} from '../_lib/grpc/fake_plugin.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const test = suite('cli/program', () => ({ io: memoryIo() }))

const COMMANDS = [
  'serve',
  'demo',
  'status',
  'check',
  'scan',
  'bench',
  'keygen',
  'config',
  'config validate',
  'config schema',
  'vault',
  'vault policy',
  'vault setup',
  'azurekms',
  'azurekms policy',
  'gcpkms',
  'gcpkms policy',
  'version',
  'completion',
]
const KEY_ID_HASH = 'sha256:569620bc8635647aef4954786bc2404e36e3a19c92e32dccf8a9669028ea687b'
const REFUSED = 14

for (const command of COMMANDS) {
  test(`runProgram() explains "${command}"`, async ({ io }) => {
    assert.is(await runProgram([...command.split(' '), '--help'], io), 0)
    assert.match(io.printed(), `Usage: trousseau ${command}`)
    assert.is(io.complained(), '')
  })
}

test('runProgram() documents the exit codes in its help', async ({ io }) => {
  assert.is(await runProgram(['help'], io), 0)
  for (const code of ['0', '1', '2', '3', '130']) {
    assert.match(io.printed(), new RegExp(`^  ${code} +\\S`, 'm'))
  }
})

for (const [args, complaint] of [
  [['serv'], "Unknown command 'serv' (Did you mean serve?)"],
  [['status'], 'Option --socket or --config is needed, and not both'],
  [['check'], "Required option '--socket <path>' not specified"],
  [['status', '--socket', '@kms'], 'Socket path is abstract'],
  [['status', '--socket', 'http://kms'], 'Socket path has a scheme other than unix://'],
  [['status', '--socket', 'unix://kms.sock'], 'Socket path is not an absolute path'],
  [['status', '--socket', ''], 'Socket path is not an absolute path'],
  [['status', '--socket', '/k', '--watch', '--json'], "cannot be used with option '--json'"],
  [['status', '--socket', '/k', '--watch', '1'], 'Wanted a duration from 100ms to 1h'],
  [
    ['recover', 'list', '--snapshot', '/s', '--resource', 'secrets', '--resources', 'configmaps'],
    "cannot be used with option '--resources <list>'",
  ],
  [['config', 'init'], "Missing required argument 'file'"],
  [['config', 'init', '-', '--type', 'hsm'], 'Allowed choices are vault, awskms'],
  [['status', '--socket', '/k', '--timeout', '3'], 'Wanted a duration from 1ms to 1m'],
  [['check', '--socket', '/k', '--xml'], "Unknown option '--xml'"],
  [['keygen'], "Missing required argument 'file'"],
  [['vault', 'policy'], "Required option '--config <file>' not specified"],
  [['vault', 'setup', '--config', '/c', '--apply'], '--apply and --dry-run need --token-file'],
  [['vault', 'setup', '--config', '/c', '--dry-run'], '--apply and --dry-run need --token-file'],
  [['vault', 'setup', '--config', '/c', '--token-file', '/t'], 'need --apply or --dry-run'],
  [['vault', 'setup', '--config', '/c', '--replace-policy'], 'need --apply or --dry-run'],
  [['vault', 'setup', '--config', '/c', '--cli', 'curl'], 'Allowed choices are vault, bao'],
  [['vault', 'setup', '--config', '/c', '--policy-name', 'root'], "Option '--policy-name <name>'"],
  [['vault', 'setup', '--config', '/c', '--role', 'a/b'], "Option '--role <name>'"],
  [['completion', 'tcsh'], 'Allowed choices are bash, zsh, fish'],
] as const) {
  test(`runProgram() exits 2 for "${args.join(' ')}", with one line and a hint`, async ({ io }) => {
    assert.is(await runProgram(args, io), 2)

    const lines = io.complained().trimEnd().split('\n')
    assert.match(lines[0] ?? '', /^trousseau: [A-Z]/)
    assert.match(lines[0] ?? '', complaint)
    assert.match(lines[1] ?? '', /^hint: /)
    assert.is(lines.length, 2)
    // Who asked for JSON is answered in JSON.
    const asked: readonly string[] = args
    if (!asked.includes('--json')) assert.is(io.printed(), '')
  })
}

test('runProgram() shows the help where no command is given, and exits 2', async ({ io }) => {
  assert.is(await runProgram([], io), 2)
  assert.match(io.complained(), 'Usage: trousseau')
})

test('version prints the version for people and as JSON', async ({ io }) => {
  assert.is(await runProgram(['version'], io), 0)
  assert.is(io.printed(), `trousseau ${VERSION} (${RUNTIME})\n`)

  const other = memoryIo()
  assert.is(await runProgram(['version', '--json'], other), 0)
  assert.equal(JSON.parse(other.printed()), { version: VERSION, runtime: RUNTIME })
})

test('config schema prints the checked-in JSON Schema', async ({ io }) => {
  assert.is(await runProgram(['config', 'schema'], io), 0)
  assert.equal(JSON.parse(io.printed()), configJsonSchema)
})

test('config validate exits 0 for a good file and 2 for a bad one', async ({ io }) => {
  await using folder = await tempFolder()
  const good = folder.at('good.yaml')
  const head = 'apiVersion: trousseau.io/v1\nkind: TrousseauConfig\n'
  const socket = 'socket: { path: /run/kms.sock }\n'
  await writeFile(
    good,
    `${head}${socket}providers: [{ name: here, type: local, keyFile: /none/keys }]\n`,
  )
  const bad = folder.at('bad.yaml')
  await writeFile(bad, `${head}socket: {}\nproviders: []\n`)

  assert.is(await runProgram(['config', 'validate', good], io), 0)
  assert.is(io.printed(), `${good} is valid: here (local) on /run/kms.sock\n`)
  assert.is(
    io.complained(),
    'trousseau: warning: /none/keys cannot be read: there is no such file or folder\n',
  )

  const other = memoryIo()
  assert.is(await runProgram(['config', 'validate', bad], other), 2)
  assert.equal(other.complained().trimEnd().split('\n'), [
    `trousseau: ${bad}:3:1: socket.path: is missing`,
    `trousseau: ${bad}:4:1: providers: wanted at least one provider`,
    'hint: "trousseau config schema" says what each key may be',
  ])
})

for (const type of PROVIDER_TYPES) {
  test(`config init --type ${type} writes a config that config validate takes`, async ({ io }) => {
    await using folder = await tempFolder()
    const path = folder.at('trousseau.yaml')
    assert.is(await runProgram(['config', 'init', path, '--type', type], io), 0)
    assert.is(io.printed(), `Made ${path}: change the lines of the provider to yours\n`)
    assert.is((await stat(path)).mode & 0o777, 0o644)

    const other = memoryIo()
    assert.is(await runProgram(['config', 'validate', path], other), 0)
    assert.match(other.printed(), ` is valid: main (${type}) on /run/trousseau/kms.sock\n`)

    const shown = memoryIo()
    assert.is(await runProgram(['config', 'init', '-', '--type', type], shown), 0)
    const text = await readFile(path, 'utf8')
    assert.is(shown.printed(), text)
    const named = [...text.matchAll(/"trousseau ((?:config|\w+ (?:setup|policy)).*?) FILE"/g)]
    assert.is(named.length, type === 'local' ? 1 : 2)
    for (const [, command = ''] of named) {
      assert.is(await runProgram([...command.split(' '), path], memoryIo()), 0, command)
    }
  })
}

test('config init never overwrites, and leads on at a terminal', async () => {
  await using folder = await tempFolder()
  const path = folder.at('trousseau.yaml')
  const person = memoryIo({ atTerminal: true })
  assert.is(await runProgram(['config', 'init', path], person), 0)
  assert.is(person.complained(), `next: trousseau config validate ${path}\n`)

  await writeFile(path, 'mine')
  const again = memoryIo()
  assert.is(await runProgram(['config', 'init', path], again), 1)
  assert.is(
    again.complained(),
    `trousseau: File "${path}" is there already, and nothing is overwritten\n`,
  )
  assert.is(await readFile(path, 'utf8'), 'mine')

  const nowhere = memoryIo()
  assert.is(await runProgram(['config', 'init', folder.at('none/trousseau.yaml')], nowhere), 1)
  assert.match(nowhere.complained(), 'trousseau.yaml" cannot be written')
})

test('what comes next is told at a terminal, and to no script', async () => {
  await using folder = await tempFolder()
  const path = folder.at('config.yaml')
  await runProgram(['config', 'init', path], memoryIo())
  for (const [args, next] of [
    [['config', 'validate', path], `trousseau serve --config ${path}`],
    [
      ['vault', 'setup', '--config', path],
      `read it, run it, then: trousseau doctor --config ${path}`,
    ],
  ] as const) {
    const [script, person] = [memoryIo(), memoryIo({ atTerminal: true })]
    assert.is(await runProgram(args, script), 0)
    assert.is(await runProgram(args, person), 0)
    // Warnings are for both.
    assert.not.match(script.complained(), 'next: ')
    assert.is(person.complained(), `${script.complained()}next: ${next}\n`)
    assert.is(person.printed(), script.printed())
  }
})

test('a relative path of a socket is one from here', async ({ io }) => {
  const code = await against({}, (path) =>
    runProgram(['status', '--socket', relative(process.cwd(), path)], io),
  )
  assert.is(code, 0)
  assert.match(io.printed(), /^socket +\/.*\.sock$/m)
})

test('vault says which provider it did not find', async ({ io }) => {
  await using folder = await tempFolder()
  const path = folder.at('config.json')
  const socket = { path: '/run/kms.sock' }
  const head = { apiVersion: 'trousseau.io/v1', kind: 'TrousseauConfig', socket }
  const vault = {
    name: 'prod',
    type: 'vault',
    address: 'https://vault:8200',
    key: 'k',
    auth: { method: 'token', tokenFile: '/t' },
  }
  await writeFile(path, JSON.stringify({ ...head, providers: [vault] }))

  assert.is(await runProgram(['vault', 'policy', '--config', path, '--provider', 'prod'], io), 0)
  assert.match(io.printed(), /^path "transit\/encrypt\/k" \{$/m)

  const other = memoryIo()
  assert.is(await runProgram(['vault', 'setup', '--config', path, '--provider', 'test'], other), 2)
  assert.match(other.complained(), `${path}: has no provider of type vault called "test"\n`)

  const none = memoryIo()
  const local = { name: 'here', type: 'local', keyFile: '/keys' }
  await writeFile(path, JSON.stringify({ ...head, providers: [local] }))
  assert.is(await runProgram(['vault', 'policy', '--config', path], none), 2)
  assert.match(none.complained(), `${path}: has no provider of type vault\n`)
})

test('azurekms prints the role of a provider, or says which one it did not find', async ({
  io,
}) => {
  await using folder = await tempFolder()
  const path = folder.at('config.json')
  const azure = {
    name: 'prod',
    type: 'azurekms',
    vault: 'kv-prod',
    key: 'k',
    login: { method: 'managedIdentity', clientId: 'an-id' },
  }
  const head = { apiVersion: 'trousseau.io/v1', kind: 'TrousseauConfig' }
  const config = { ...head, socket: { path: '/run/kms.sock' }, providers: [azure] }
  await writeFile(path, JSON.stringify(config))

  assert.is(await runProgram(['azurekms', 'policy', '--config', path], io), 0)
  assert.match(io.printed(), /^az role assignment create .* --scope "\$vault\/keys\/k"$/m)

  const other = memoryIo()
  const args = ['azurekms', 'policy', '--config', path, '--provider', 'test']
  assert.is(await runProgram(args, other), 2)
  assert.match(other.complained(), `${path}: has no provider of type azurekms called "test"\n`)
})

test('serve exits 2 for a config that cannot be read', async ({ io }) => {
  assert.is(await runProgram(['serve', '--config', '/none/trousseau.yaml'], io), 2)
  assert.match(io.complained(), /^trousseau: \/none\/trousseau\.yaml: there is no such file\n$/)
})

test('keygen makes a file of mode 0600, adds versions and overwrites nothing [F9]', async ({
  io,
}) => {
  await using folder = await tempFolder()
  const path = folder.at('keys')

  assert.is(await runProgram(['keygen', path], io), 0)
  assert.match(io.printed(), `Made ${path}\n`)
  assert.is((await stat(path)).mode & 0o777, 0o600)
  const text = await readFile(path, 'utf8')
  const { keys } = JSON.parse(text)
  assert.not.match(io.printed(), keys[0].key)

  const again = memoryIo()
  assert.is(await runProgram(['keygen', path], again), 1)
  assert.is(
    again.complained(),
    `trousseau: Key file "${path}" exists already: nothing was changed\n`,
  )
  assert.is(await readFile(path, 'utf8'), text)

  const more = memoryIo()
  assert.is(await runProgram(['keygen', path, '--add-version'], more), 0)
  assert.match(more.printed(), /versions +2\n/)
})

async function against(
  options: FakeOptions,
  run: (path: string) => Promise<number>,
): Promise<number> {
  await using plugin = await startFakePlugin(options)
  return await run(plugin.path)
}

for (const [former, now] of [
  ['login keygen', 'login-key create'],
  ['recovery keygen', 'recovery-key create'],
  ['recovery verify', 'recovery-key verify'],
  ['recover verify', 'recover drill'],
] as const) {
  test(`${former} is ${now}, whose options it takes, and no help shows it`, async () => {
    const [old, young, all] = [memoryIo(), memoryIo(), memoryIo()]
    await runProgram([...former.split(' '), '--help'], old)
    await runProgram([...now.split(' '), '--help'], young)
    await runProgram(['--help'], all)

    const options = (text: string) =>
      text.slice(text.indexOf('Options:'), text.indexOf('Examples:'))
    assert.ok(options(young.printed()).length > 100)
    assert.match(old.printed(), options(young.printed()).trim())
    assert.not.match(all.printed(), /^ {2}(?:login|recovery) /m)
  })
}

test('status shows what a healthy plugin says', async ({ io }) => {
  const code = await against({}, (path) => runProgram(['status', '--socket', path], io))

  assert.is(code, 0)
  assert.match(io.printed(), /^health +ok$/m)
  assert.match(io.printed(), /^v2 +v2, answered in [\d.]+ ms$/m)
  assert.match(io.printed(), new RegExp(`^key id +${FAKE_KEY_ID}$`, 'm'))
  assert.match(io.printed(), new RegExp(`^key id hash +${KEY_ID_HASH} `, 'm'))
  assert.match(io.printed(), /^v1beta1 +v1beta1 by fake 1\.0\.0, answered in [\d.]+ ms$/m)
  assert.not.match(io.printed(), '\x1b')
})

test('status prints JSON, and colour on a terminal only', async ({ io }) => {
  const code = await against({ v2Only: true }, (path) =>
    runProgram(['status', '--json', '--socket', `unix://${path}`], io),
  )

  assert.is(code, 0)
  const report = JSON.parse(io.printed())
  assert.is(report.healthy, true)
  assert.is(report.v2.keyId, FAKE_KEY_ID)
  assert.is(report.v2.keyIdHash, KEY_ID_HASH)
  assert.is(report.v1beta1.error.code, 'UNIMPLEMENTED')

  const terminal = memoryIo({ color: true })
  await against({ v2Only: true }, (path) => runProgram(['status', '--socket', path], terminal))
  assert.match(terminal.printed(), '\x1b[32mok\x1b[39m')
  assert.match(terminal.printed(), /^v1beta1 +not served$/m)
})

for (const [what, options, problem] of [
  [
    'a Status that fails',
    {
      status: () => {
        throw new Refusal('Not ready yet: no login', { code: REFUSED })
      },
    },
    'Status answered UNAVAILABLE: Not ready yet: no login',
  ],
  [
    'healthz that is not ok',
    { status: (good) => ({ ...good, healthz: 'bad\x1b[2J' }) },
    'healthz is not "ok": bad?[2J',
  ],
  [
    'another version',
    { status: (good) => ({ ...good, version: 'v3' }) },
    'the version is not v2 (rule S2)',
  ],
  [
    'an empty key id',
    { status: (good) => ({ ...good, keyId: '' }) },
    'the key id has 0 bytes: kube-apiserver takes 1 to 1024 (rule S7)',
  ],
] as const satisfies readonly (readonly [string, FakeOptions, string])[]) {
  test(`status exits 3 for ${what}, and says so`, async ({ io }) => {
    const code = await against(options, (path) => runProgram(['status', '--socket', path], io))

    assert.is(code, 3)
    assert.match(io.printed(), problem)
  })
}

test('status exits 1 where nobody can be asked', async ({ io }) => {
  await using folder = await tempFolder()
  const path = folder.at('none.sock')

  assert.is(await runProgram(['status', '--socket', path], io), 1)
  assert.is(
    io.complained(),
    `trousseau: Cannot connect to ${path}: there is no such file: see whether the plugin runs and under which path\n`,
  )
})

test('status ends within its timeout at a plugin that hangs', async ({ io }) => {
  const code = await against({ status: () => new Promise(() => undefined) }, (path) =>
    runProgram(['status', '--socket', path, '--timeout', '200ms'], io),
  )

  assert.is(code, 3)
  assert.match(io.printed(), 'DEADLINE_EXCEEDED')
})

test('status ends with 130 when it is stopped', async ({ io }) => {
  let asked = false
  const hang = (): Promise<never> => {
    asked = true
    return new Promise(() => undefined)
  }
  const code = await against({ status: hang }, async (path) => {
    const ended = runProgram(['status', '--socket', path, '--timeout', '60s'], io)
    await until('Status was asked', () => asked)
    io.halt()
    return await ended
  })

  assert.is(code, 130)
})

test('check passes a good plugin', async ({ io }) => {
  const code = await against({}, (path) => runProgram(['check', '--socket', path], io))

  assert.is(code, 0)
  assert.match(io.printed(), /^pass +D1 +Decrypt gives back exactly what Encrypt got$/m)
  // How fast Status answers is the machine's doing.
  assert.match(
    io.printed(),
    /^(?:49 passed, 0 failed, 0 warnings|48 passed, 0 failed, 1 warning), 1 skipped$/m,
  )
})

test('check exits 1 with one line where nobody answers', async ({ io }) => {
  assert.is(await runProgram(['check', '--socket', '/none/kms.sock'], io), 1)
  assert.is(io.printed(), '')
  assert.is(
    io.complained(),
    'trousseau: Cannot connect to /none/kms.sock: there is no such file: see whether the plugin runs and under which path\n',
  )
})

test('check says once what many rules are skipped for', async ({ io }) => {
  const code = await against({ status: (good) => ({ ...good, healthz: 'sealed' }) }, (path) =>
    runProgram(['check', '--socket', path], io),
  )

  assert.is(code, 3)
  const skipped = io.printed().match(/^skipped .*$/gm) ?? []
  assert.is(skipped.length, 1, io.printed())
  assert.match(skipped[0] ?? '', /^skipped {2}\d\d rules: .*\(S4\)/)
})

test('check exits 3 for a plugin that breaks a rule, and prints JSON', async ({ io }) => {
  const code = await against(
    { decrypt: (request, good) => good({ ...request, keyId: FAKE_KEY_ID }) },
    (path) => runProgram(['check', '--json', '--socket', path], io),
  )

  assert.is(code, 3)
  const { conforms, findings } = JSON.parse(io.printed())
  assert.is(conforms, false)
  const failed = findings.filter(({ result }: { result: string }) => result === 'fail')
  assert.equal(failed, [
    {
      rule: 'D3',
      title: 'An unknown key id is refused',
      result: 'fail',
      detail: 'Decrypt opens a ciphertext under a key id nobody knows',
    },
  ])
})

test('main exits with the code of the command, and ends on SIGTERM', async () => {
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
  const runtime = 'deno' in process.versions ? ['run', '--allow-all'] : []
  const started = (args: readonly string[]) =>
    spawn(process.execPath, [...runtime, main, ...args], { stdio: ['ignore', 'pipe', 'ignore'] })

  const [usage] = await once(started(['status']), 'exit')
  assert.is(usage, 2)

  const child = started(['demo'])
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk
  })
  await until('the demo serves', () => output.includes('Serving until Ctrl-C'))
  // Deno's own kill() reports the signal whatever the child made of it.
  process.kill(child.pid ?? 0, 'SIGTERM')
  const [code] = await once(child, 'exit')
  assert.is(code, 0)
})

test.run()
