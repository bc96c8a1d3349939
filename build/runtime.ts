/**
 * Node for an architecture, without symbols: from `node_modules`, or for another architecture than
 * the machine's from the same package through `npm pack`, as the lock file has it.
 *
 * @module
 */

import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { cached, exists, ROOT, run } from './cache.ts'
import { withoutSymbols } from './elf.ts'

export const ARCHITECTURES = ['x64', 'arm64'] as const
export type Architecture = (typeof ARCHITECTURES)[number]

const lockSchema = v.object({
  packages: v.record(
    v.string(),
    v.object({ version: v.optional(v.string()), integrity: v.optional(v.string()) }),
  ),
})

interface Runtime {
  readonly version: string
  readonly node: string
  readonly licence: string
}

export async function runtime(architecture: Architecture): Promise<Runtime> {
  const name = `node-linux-${architecture}`
  const lock = v.parse(
    lockSchema,
    JSON.parse(await readFile(join(ROOT, 'package-lock.json'), 'utf8')),
  )
  const { version = '', integrity = '' } = lock.packages[`node_modules/${name}`] ?? {}
  const folder = await cached(`${name}-${version}-stripped`, async (draft) => {
    const installed = join(ROOT, 'node_modules', name)
    const source = (await exists(installed))
      ? installed
      : await unpacked(draft, `${name}@${version}`, integrity)
    const node = withoutSymbols(await readFile(join(source, 'bin', 'node')))
    await writeFile(join(draft, 'node'), node, { mode: 0o755 })
    await writeFile(join(draft, 'LICENSE'), await readFile(join(source, 'LICENSE')))
    await run('rm', ['-rf', join(draft, 'package')])
  })
  return { version, node: join(folder, 'node'), licence: join(folder, 'LICENSE') }
}

async function unpacked(folder: string, name: string, integrity: string): Promise<string> {
  const flags = ['--json', '--pack-destination', folder]
  const { stdout } = await run('npm', ['pack', name, ...flags], { cwd: folder })
  const [packed] = v.parse(v.tuple([v.object({ filename: v.string() })]), JSON.parse(stdout))
  const archive = join(folder, packed.filename)
  const digest = createHash('sha512')
    .update(await readFile(archive))
    .digest('base64')
  if (`sha512-${digest}` !== integrity) {
    throw new Error(`${name} is not what package-lock.json says: wanted ${integrity}`)
  }
  await run('tar', ['-xzf', archive, '-C', folder, 'package/bin/node', 'package/LICENSE'])
  await run('rm', [archive])
  return join(folder, 'package')
}
