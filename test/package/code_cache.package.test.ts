/** The code cache in the binaries: it is used, and one that is damaged or foreign is not. @module */

import type { Buffer } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import process from 'node:process'
import * as assert from 'uvu/assert'
import { buildBinary } from '../../build/binary_file.ts'
import { ARCHITECTURES } from '../../build/runtime.ts'
import { warmUpPlugin } from '../../build/start/warm_up.ts'
import { debianTool } from '../_lib/debian.ts'
import { figure } from '../_lib/figure.ts'
import { withCodeCache } from '../_lib/package/code_cache.ts'
import { binary, localConfig, run, unpackImage } from '../_lib/package/shipped.ts'
import { startWellPlugin } from '../_lib/plugin/process.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const OWN = binary(process.arch === 'arm64' ? 'arm64' : 'x64')
const STARTS = 5

const damaged = (cache: Buffer) => {
  cache.fill(0x5a, cache.length / 2, cache.length / 2 + 4_096)
}
/** Where V8 writes its version. */
const foreign = (cache: Buffer) => {
  cache.fill(0x5a, 4, 8)
}

const test = suite('package/code cache', () => ({}), 300_000)

for (const [what, change, trusted] of [
  ['damaged', damaged, false],
  ['of another V8', foreign, true],
] as const) {
  test(`a binary whose code cache is ${what} starts all the same`, async () => {
    await using folder = await tempFolder()
    const changed = folder.at('changed')
    await withCodeCache({ from: OWN, to: changed }, change, { trusted })
    const config = await localConfig(folder)

    await using plugin = await startWellPlugin({ folder: folder.path, command: [changed], config })

    assert.is((await plugin.client.v2.status()).healthz, 'ok')
    assert.is(await plugin.stop(), 0, plugin.output())
  })
}

test('the code cache is used: without it a start takes more processor time', async () => {
  await using folder = await tempFolder()
  assert.ok((await startsRatio(folder, { from: OWN, before: [] })) < 0.85)
})

test('the binary for arm64 has a code cache that is used there', async () => {
  const qemu = await debianTool('qemu-user-static')
  await using folder = await tempFolder()
  const root = await unpackImage(folder, 'arm64')
  const before = [qemu, '-L', root]
  assert.ok((await startsRatio(folder, { from: binary('arm64'), before })) < 0.9)
})

for (const architecture of ARCHITECTURES) {
  test(`the same sources give the same binary for ${architecture}, whatever keys it was made with`, async () => {
    await using folder = await tempFolder()
    const output = folder.at('again')
    await buildBinary({ architecture, main: 'dist/trousseau.mjs', output, warmUp: warmUpPlugin })
    assert.ok((await readFile(output)).equals(await readFile(binary(architecture))))
  })
}

test.run()

/** Processor time of starts with the cache to that of starts without it, by turns. */
async function startsRatio(
  folder: TempFolder,
  { from, before }: { from: string; before: readonly string[] },
): Promise<number> {
  const without = folder.at('without')
  await withCodeCache({ from, to: without }, damaged, { trusted: false })
  let [used, unused] = [0, 0]
  for (let round = 0; round < STARTS; round += 1) {
    used += await cpuSeconds([...before, from, 'version'])
    unused += await cpuSeconds([...before, without, 'version'])
  }
  figure(`start with the code cache, to one without it: ${(used / unused).toFixed(2)}`)
  return used / unused
}

/** Of one command, from its start to its end. */
async function cpuSeconds(command: readonly string[]): Promise<number> {
  const timed = 'TIMEFORMAT="%3U %3S"; time "$@" > /dev/null'
  const { stderr } = await run('bash', ['-c', timed, 'bash', ...command])
  const [user = Number.NaN, system = Number.NaN] = stderr.trim().split(' ').map(Number)
  return user + system
}
