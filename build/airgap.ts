/**
 * `npm run build:airgap -- --key FILE` makes one signed file with everything that a node without a
 * network needs. It uses what `npm run build:image` left in `dist/`. The same content and key give
 * the same bytes.
 *
 * @module
 */

import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import process from 'node:process'
import { pipeline } from 'node:stream/promises'
import { parseArgs } from 'node:util'
import { constants, createZstdCompress } from 'node:zlib'
import manifest from '../package.json' with { type: 'json' }
import { KIND_NAMES } from '../src/tools/manifests/kinds.ts'
import { ROOT, run } from './cache.ts'
import { plainTar } from './oci.ts'
import { signature } from './sign.ts'

const { values } = parseArgs({
  options: { key: { type: 'string' }, out: { type: 'string', default: 'dist' } },
})
if (values.key === undefined) throw new Error('Wanted --key FILE, which the bundle is signed with')
const pem = await readFile(values.key, 'utf8')
// A key that cannot sign shall be found before the work is done.
signature(new Uint8Array(), pem)

const NAME = `trousseau-${manifest.version}`
const EXAMPLE = 'build/airgap/trousseau.yaml'
const SUMS = 'SHA256SUMS'
const COPIED: Readonly<Record<string, string>> = {
  'build/airgap/install.sh': 'install.sh',
  [EXAMPLE]: 'trousseau.yaml',
  'docs/airgap.md': 'README.md',
  'dist/trousseau-linux-x64': 'bin/trousseau-linux-x64',
  'dist/trousseau-linux-arm64': 'bin/trousseau-linux-arm64',
  'dist/trousseau-image-zstd.tar': 'images/trousseau-image.tar',
  'dist/trousseau-linux-x64.LEGAL.txt': 'licences/trousseau-linux-x64.txt',
  'dist/trousseau-linux-arm64.LEGAL.txt': 'licences/trousseau-linux-arm64.txt',
  'dist/trousseau-image-amd64.spdx.json': 'sbom/amd64.spdx.json',
  'dist/trousseau-image-arm64.spdx.json': 'sbom/arm64.spdx.json',
  'deploy/chart': 'chart',
  'deploy/monitoring': 'monitoring',
  docs: 'docs',
  'CHANGELOG.md': 'CHANGELOG.md',
  LICENSE: 'LICENSE',
}

const folder = await mkdtemp(join(tmpdir(), 'trousseau-airgap-'))
try {
  const root = join(folder, 'content', NAME)
  await fill(root)
  await sign(join(root, SUMS), await sumsOf(root))
  const packed = resolve(ROOT, values.out, `trousseau-airgap.tar.zst`)
  await pack(join(folder, 'content'), packed)
  await writeFile(`${packed}.sig`, `${signature(await readFile(packed), pem)}\n`)
  process.stdout.write(`${relative(process.cwd(), packed)}\n`)
} finally {
  await rm(folder, { recursive: true, force: true })
}

async function fill(root: string): Promise<void> {
  await mkdir(root, { recursive: true })
  for (const [from, to] of Object.entries(COPIED)) {
    await cp(join(ROOT, from), join(root, to), { recursive: true })
  }
  // OpenShift's needs the image by its digest in a registry, which only its operator knows.
  for (const kind of KIND_NAMES.filter((name) => name !== 'openshift')) {
    const args = ['manifests', kind, '--config', join(ROOT, EXAMPLE)]
    const out = join(root, 'manifests', kind)
    await run(process.execPath, [join(ROOT, 'dist/trousseau.mjs'), ...args, '--out', out])
  }
}

/** In the format of sha256sum, which can check it without any program of ours. */
async function sumsOf(root: string): Promise<string> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort()
  const lines = paths.map(async (path) => {
    const hash = createHash('sha256')
    await pipeline(createReadStream(join(root, path)), hash)
    return `${hash.digest('hex')}  ${path}\n`
  })
  return (await Promise.all(lines)).join('')
}

async function sign(path: string, text: string): Promise<void> {
  await writeFile(path, text)
  await writeFile(`${path}.sig`, `${signature(new TextEncoder().encode(text), pem)}\n`)
}

async function pack(content: string, packed: string): Promise<void> {
  const tar = join(folder, 'bundle.tar')
  await plainTar(content, tar)
  const compress = createZstdCompress({
    params: {
      [constants.ZSTD_c_compressionLevel]: 12,
      [constants.ZSTD_c_enableLongDistanceMatching]: 1,
      [constants.ZSTD_c_checksumFlag]: 1,
    },
  })
  await mkdir(join(packed, '..'), { recursive: true })
  await pipeline(createReadStream(tar), compress, createWriteStream(packed))
}
