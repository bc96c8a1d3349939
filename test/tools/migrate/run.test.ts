/** What a second `trousseau migrate` does with the state that the first one left. @module */

import { once } from 'node:events'
import { access, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import * as assert from 'uvu/assert'
import { keyIdHash } from '../../../src/base/key_id_hash.ts'
import { runProgram } from '../../../src/cli/program.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { makeAuthority, makeCertificate } from '../../_lib/remote/certificates.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
const MIGRATIONS = '/apis/storagemigration.k8s.io'
const MIGRATIONS_PAGE = { preferredVersion: { version: 'v1beta1' } }
const SECRET = /^\/api\/v1\/namespaces\/shop\/secrets\/(.+)$/
const PAGES: ReadonlyMap<string, unknown> = new Map([
  ['/apis', { groups: [] }],
  [
    '/api/v1',
    { resources: ['secrets', 'configmaps'].map((name) => ({ name, verbs: ['list', 'patch'] })) },
  ],
  ['/api/v1/configmaps', { metadata: {}, items: [] }],
  [
    '/api/v1/secrets',
    { metadata: {}, items: NAMES.map((name) => ({ metadata: { name, namespace: 'shop' } })) },
  ],
])
const test = suite('tools/migrate/run', setup)

interface Migrations {
  there: boolean
  readonly made: string[]
  /** Called when one is looked at. */
  onLook: () => void
}

/** An API server with Secrets and nothing else, and the command. */
async function setup() {
  const folder = await tempFolder()
  const authority = await makeAuthority(folder.path, 'ca')
  const files = await makeCertificate(folder.path, 'server', authority)
  const [patched, refused] = [[] as string[], new Set<string>()]
  /** While `there`, an API of StorageVersionMigrations that no controller works on; with those that were made. */
  const migrations: Migrations = { there: false, made: [], onLook: () => undefined }
  /** Key ids by the names of the API server's KMS providers. */
  const keyIds = new Map<string, string>()
  const tls = { cert: await readFile(files.cert), key: await readFile(files.key) }
  const patch = (path: string): number => {
    const [, name] = SECRET.exec(path) ?? []
    if (name === undefined) return 404
    if (refused.has(name)) return 403
    patched.push(name)
    return 200
  }
  const read = (path: string): [status: number, text: string] => {
    const text = path === '/metrics' ? metricsOf(keyIds) : JSON.stringify(PAGES.get(path))
    return text === undefined ? [404, '{}'] : [200, text]
  }
  const migrating = (method: string, path: string): [status: number, text: string] => {
    if (method === 'POST') migrations.made.push(path)
    if (method === 'GET' && path !== MIGRATIONS) migrations.onLook()
    return [200, JSON.stringify(path === MIGRATIONS ? MIGRATIONS_PAGE : {})]
  }
  const answer = (method: string, path: string): [status: number, text: string] => {
    if (migrations.there && path.startsWith(MIGRATIONS)) return migrating(method, path)
    return method === 'GET' ? read(path) : [patch(path), '{}']
  }
  const server = createServer(tls, ({ method = '', url = '' }, response) => {
    const [path = ''] = url.split('?')
    const [status, text] = answer(method, path)
    response.writeHead(status)
    response.end(text)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('No port')
  const cluster = {
    server: `https://127.0.0.1:${address.port}`,
    'certificate-authority': authority.cert,
  }
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'one',
    contexts: [{ name: 'one', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user: { token: 'of-an-operator' } }],
  }
  await writeFile(folder.at('kubeconfig'), JSON.stringify(config), { mode: 0o600 })
  return {
    keyIds,
    migrations,
    refused,
    statePath: folder.at('state.json'),
    async migrate(...flags: string[]) {
      patched.length = 0
      const io = memoryIo()
      const how = migrations.there ? 'auto' : 'rewrite'
      const args = ['migrate', '--kubeconfig', folder.at('kubeconfig'), '--method', how]
      const state = ['--state', folder.at('state.json')]
      const code = await runProgram([...args, '--rate', '10000', ...state, ...flags], io)
      return { code, out: io.printed(), err: io.complained(), patched: [...patched] }
    },
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await folder[Symbol.asyncDispose]()
    },
  }
}

/** Undefined, as to somebody who may not see them, where there are none. */
function metricsOf(keyIds: ReadonlyMap<string, string>): string | undefined {
  const name = 'apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds'
  const lines = [...keyIds].map(([provider, keyId]) => {
    const labels = `apiserver_id_hash="",key_id_hash="${keyIdHash(keyId)}",provider_name="${provider}"`
    return `${name}{${labels}} 1.7e+09\n`
  })
  return lines.length === 0 ? undefined : lines.join('')
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

test('what failed is tried again by the same command, and then nothing is left to go on with', async (context) => {
  await using all = context
  all.refused.add('c')
  const first = await all.migrate('--key-id', 'one')
  assert.is(first.code, 3)
  assert.match(first.out, /secrets: 7 objects written anew, 1 FAILED/)
  assert.match(first.err, /shop\/c: .*403/)
  assert.ok(await exists(all.statePath))

  const still = await all.migrate('--key-id', 'one')
  assert.is(still.code, 3)
  assert.not.ok(still.patched.includes('a') && still.patched.includes('b'), 'it goes on')

  all.refused.clear()
  const { code, out, patched } = await all.migrate('--key-id', 'one')
  assert.is(code, 0, out)
  assert.equal(
    ['c', 'd', 'e', 'f', 'g', 'h'].filter((name) => !patched.includes(name)),
    [],
  )
  assert.not.ok(await exists(all.statePath))
})

test('migrate --json prints one document, of what failed too', async (context) => {
  await using all = context
  all.refused.add('c')

  const { code, out } = await all.migrate('--key-id', 'one', '--json')

  const { dryRun, resources } = JSON.parse(out)
  assert.is(code, 3)
  const [{ resource, how, done, failed }] = resources
  assert.equal([dryRun, resource, how, done, failed], [false, 'secrets', 'rewrite', 7, 1])
})

test('a state of a rewrite to another key id is no use, and all begins anew', async (context) => {
  await using all = context
  all.refused.add('h')
  assert.is((await all.migrate('--key-id', 'one')).code, 3)
  all.refused.clear()

  const { code, err, patched } = await all.migrate('--key-id', 'two')

  assert.is(code, 0, err)
  assert.match(err, /state\.json is of a rewrite to another key id: everything begins again/)
  assert.equal(new Set(patched), new Set(NAMES))
})

test('another plugin of the same API server may have a key id of its own', async (context) => {
  await using all = context
  all.keyIds.set('old', 'of another plugin').set('new', 'two')

  const { code, err, patched } = await all.migrate('--key-id', 'two')

  assert.is(code, 0, err)
  assert.equal(new Set(patched), new Set(NAMES))
})

test('while the API server does not use the key id, nothing is rewritten', async (context) => {
  await using all = context
  all.keyIds.set('trousseau', 'one')

  const { code, err, patched } = await all.migrate('--key-id', 'two', '--wait', '1s')

  assert.is(code, 1)
  const [first = ''] = err.split('\n')
  assert.match(
    first,
    /^trousseau: Waits until https:\S+ uses the new key id, .* 1s at most \(--wait\)$/,
  )
  assert.match(err, /still uses another key id \(provider trousseau: sha256:[0-9a-f]+\)/)
  assert.equal(patched, [])
})

test('it says that it waits for a controller, waits once, and then says that it does without', async (context) => {
  await using all = context
  const { now } = performance
  let later = 0
  all.migrations.there = true
  // As if the controller had been given all of its time.
  all.migrations.onLook = () => {
    later = 3_600_000
  }
  performance.now = () => now.call(performance) + later
  try {
    const { code, err, patched } = await all.migrate('--resources', 'secrets,configmaps')

    assert.is(code, 0, err)
    assert.equal(new Set(patched), new Set(NAMES))
    assert.is(all.migrations.made.length, 1)
    const [waits = '', goesOn = '', ...more] = err.trimEnd().split('\n')
    assert.match(
      waits,
      /^trousseau: Waits for a controller to do the StorageVersionMigration of secrets; .* 30 s /,
    )
    assert.match(
      goesOn,
      /^trousseau: No controller took it up: secrets is rewritten object by object$/,
    )
    assert.equal(more, [])
  } finally {
    performance.now = now
  }
})

test('a state that somebody else wrote is refused, and stays as it is', async (context) => {
  await using all = context
  await writeFile(all.statePath, '{"format":1}')

  const { code, err, patched } = await all.migrate('--key-id', 'one')

  assert.is(code, 1)
  assert.match(err, /of --state is not what "trousseau migrate --state" wrote/)
  assert.equal(patched, [])
  assert.is(await readFile(all.statePath, 'utf8'), '{"format":1}')
})

test.run()
