/** `trousseau login keygen`, and its script and config used with the real OpenBao. @module */

import { spawnSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { copyFile, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { parse } from 'yaml'
import { runProgram } from '../../../src/cli/program.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { readPage, type Step } from '../../_lib/runbook/page.ts'
import { KEY_SERVER } from '../../_lib/services/vault/key_server.ts'
import { type OpenBao, startOpenBao } from '../../_lib/services/vault/openbao.ts'
import { vaultSetup } from '../../_lib/services/vault/setup.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url))
const NODES = ['cp-1', 'cp-2', 'cp-3'] as const
const answer = v.object({ data: v.record(v.string(), v.unknown()) })
const tokenAnswer = v.object({ auth: v.object({ client_token: v.string() }) })
const test = suite('tools/keys/login', () => ({}))

let shared: Promise<OpenBao> | undefined

function server(): Promise<OpenBao> {
  shared ??= startOpenBao()
  return shared
}

/** What a node's config says, as keygen prints it. */
const printed = v.object({ auth: v.looseObject({ method: v.literal('jwt') }) })

test('three nodes, each done as docs/logins/jwt.md says, all log in', async () => {
  await using one = await vaultSetup({}, { on: await server() })
  const [keygen, setup, letIn, ...more] = await readPage('../logins/jwt')
  assert.is(more.length, 0)
  const configs: Record<string, object> = {}
  // The page's folder is the node's own, and its name; the client is the one that is here.
  const does = async (block: Step | undefined, node: string) => {
    const { code, out, err } = await one.shell(
      [
        `mkdir -p bin && ln -sf "$(command -v ${KEY_SERVER.cli})" bin/vault && PATH=$PWD/bin:$PATH`,
        `uname() { echo ${node}; }`,
        `trousseau() { ${process.execPath} ${MAIN} "$@"; }`,
        'set -e',
        block?.text.replaceAll('/etc/trousseau/', one.folder.at(`node/${node}-`)),
      ].join('\n'),
    )
    assert.is(code, 0, err)
    return out + err
  }
  for (const node of NODES) {
    const said = await does(keygen, node)
    const file = one.folder.at(`node/${node}-login-key`)
    assert.is((await stat(file)).mode & 0o777, 0o600)
    const secret = (await readFile(file, 'utf8')).split('\n')[1] ?? ''
    assert.not.match(
      said + (await readFile(one.folder.at(`admin/login-${node}.sh`), 'utf8')),
      secret,
    )
    configs[node] = v.parse(printed, parse(said.slice(said.indexOf('  auth:'))))
  }
  await one.change(configs['cp-2'] ?? {})
  await copyFile(one.folder.at('config.json'), one.folder.at('admin/trousseau.yaml'))
  await does(setup, 'admin')
  await does(letIn, 'admin')
  await does(letIn, 'admin')

  for (const node of NODES) {
    await one.change(configs[node] ?? {})
    await one.roundTrip()
    const { code, out } = await one.apply()
    assert.is(code, 0)
    assert.match(out, /public keys: 3, that of this node among them/)
    assert.match(out, /\nNothing to change\.\n$/)
  }
})

test('both types of key log in', async () => {
  await using one = await vaultSetup({}, { on: await server() })
  for (const type of ['ES256', 'EdDSA']) {
    const io = memoryIo()
    const flags = ['--type', type, '--cli', KEY_SERVER.cli]
    assert.is(await runProgram(['login', 'keygen', one.folder.at(type), ...flags], io), 0)
    const lines = io.complained()
    await one.change(v.parse(printed, parse(lines.slice(lines.indexOf('  auth:')))))
    assert.is((await one.apply()).code, 0)
    const { code, err } = await one.shell(io.printed())
    assert.is(code, 0, err)
    await one.roundTrip()
  }
})

test('what keygen prints keeps the rest of the config, and changes nothing that it cannot read', async () => {
  await using one = await vaultSetup({}, { on: await server() })
  const io = memoryIo()
  const file = one.folder.at('node/key')
  await runProgram(['login', 'keygen', file, '--cli', KEY_SERVER.cli, '--mount', 'nodes/a'], io)
  const config = async () =>
    v.parse(answer, await one.bao.request('GET', 'auth/nodes/a/config')).data
  await one.shell(io.printed())
  const [pem] = v.parse(v.array(v.string()), (await config())['jwt_validation_pubkeys'])
  const other = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' })
  const before = { jwt_validation_pubkeys: [other], bound_issuer: 'x', default_role: 'y' }
  await one.bao.request('POST', 'auth/nodes/a/config', before)
  const rights = { policy: 'path "*" { capabilities = ["update"] }' }
  await one.bao.request('POST', 'sys/policies/acl/blind', rights)
  const made = await one.bao.request('POST', 'auth/token/create', { policies: ['blind'] })
  const token = v.parse(tokenAnswer, made).auth.client_token

  const blind = await one.shell(`${KEY_SERVER.prefix}_TOKEN=${token}\n${io.printed()}`)
  const unchanged = await config()
  const { code } = await one.shell(io.printed())

  assert.ok(blind.code !== 0)
  assert.equal(unchanged['jwt_validation_pubkeys'], [other.toString().trimEnd()])
  assert.is(code, 0)
  const { jwt_validation_pubkeys, bound_issuer, default_role } = await config()
  assert.equal(
    new Set(jwt_validation_pubkeys as string[]),
    new Set([pem, other.toString().trimEnd()]),
  )
  assert.equal([bound_issuer, default_role], ['x', 'y'])
})

test('nothing in the options is run by the script', async () => {
  await using folder = await tempFolder()
  const io = memoryIo()
  const evil = "a'$(touch pwned)\ntouch pwned"
  await runProgram(['login', 'keygen', folder.at('k'), '--mount', evil, '--subject', evil], io)
  const vault = `vault() { case "$*" in *format=json*) echo 'No value found at x'; false ;; esac; }`

  const { status } = spawnSync('sh', [], { cwd: folder.path, input: `${vault}\n${io.printed()}` })

  assert.is(status, 0)
  assert.equal(await readdir(folder.path), ['k'])
})

test('a key that is there already is never overwritten', async () => {
  await using folder = await tempFolder()
  const file = folder.at('node-key')
  await runProgram(['login', 'keygen', file], memoryIo())
  const before = await readFile(file, 'utf8')
  const io = memoryIo()

  const code = await runProgram(['login', 'keygen', file], io)

  assert.is(code, 1)
  assert.match(io.complained(), /is there already, and nothing is overwritten: --existing prints/)
  assert.is(await readFile(file, 'utf8'), before)
})

test('--existing prints the script of a key again, and of one that was made otherwise', async () => {
  await using folder = await tempFolder()
  const keygen = async (...args: string[]) => {
    const io = memoryIo()
    return { code: await runProgram(['login', 'keygen', ...args], io), io }
  }
  const file = folder.at('node-key')
  const first = await keygen(file, '--type', 'EdDSA')
  const before = await readFile(file, 'utf8')
  const other = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  await writeFile(folder.at('other'), other.privateKey.export({ type: 'sec1', format: 'pem' }))

  const again = await keygen(file, '--existing')
  const foreign = await keygen(folder.at('other'), '--existing')
  const none = await keygen(folder.at('none'), '--existing')

  assert.is(again.io.printed(), first.io.printed())
  assert.is(await readFile(file, 'utf8'), before)
  assert.is(foreign.code, 0)
  assert.match(foreign.io.printed(), /"crv":"P-384","alg":"ES384"/)
  assert.match(foreign.io.complained(), /^The key is \S+other \(ES384\): it stays/)
  assert.is(none.code, 1)
  assert.match(none.io.complained(), /cannot be read: there is no such file or folder/)
})

test('a claim without a value is wrong usage', async () => {
  const io = memoryIo()

  const code = await runProgram(['login', 'keygen', '/nonexistent/key', '--claim', 'node'], io)

  assert.is(code, 2)
  assert.match(io.complained(), /NAME=VALUE/)
})

test('what the tests shared ends', async () => {
  await (await shared)?.[Symbol.asyncDispose]()
})

test.run()
