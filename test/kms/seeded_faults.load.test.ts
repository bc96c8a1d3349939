/**
 * Puts faults into the keyring one at a time, and checks that some test fails for each. This shows
 * that the tests can fail.
 *
 * @module
 */

import { execFile } from 'node:child_process'
import { cp, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const RUN_LIMIT_MS = 120_000
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** What each run needs of the project. */
const PARTS = ['src', 'test/_lib', 'test/kms', 'test/vectors', 'package.json']

interface Fault {
  readonly title: string
  readonly file: string
  readonly from: string
  readonly to: string
  /** The test file that finds it. */
  readonly by: string
}

const FAULTS: readonly Fault[] = [
  {
    title: 'a version becomes active a moment too early',
    file: '../base/activation.ts',
    from: 'return Math.min(createdAt * 1000, now) + delayMs - now',
    to: 'return Math.min(createdAt * 1000, now) + delayMs - now - 1_000',
    by: 'rotation',
  },
  {
    title: "activation goes by the node's clock",
    file: 'probe.ts',
    from: '    serviceTime === undefined\n      ? clock.now()\n',
    to: '    serviceTime !== 0\n      ? clock.now()\n',
    by: 'health',
  },
  {
    title: 'a service that binds nothing is believed',
    file: 'round_trip.ts',
    from: '  if (unbound?.ok === true) {\n',
    to: '  if (unbound === undefined) {\n',
    by: 'health',
  },
  {
    title: 'two shares change places',
    file: 'shares.ts',
    from: 'const shares = await split(key, count, k)',
    to: 'const shares = (await split(key, count, k)).map((share, _, all) => Uint8Array.from([...share.subarray(0, -1), all[0]?.at(-1) ?? 0]))',
    by: 'shares',
  },
  {
    title: 'the seal of a threshold is not bound to the header',
    file: 'shares.ts',
    from: '  cipher.setAAD(associatedData)\n',
    to: '',
    by: 'shares',
  },
  {
    title: 'Encrypt keeps a key id that Status has left',
    file: 'health_view.ts',
    from: '  return current?.keyId === keys.keyId ? current : keys\n',
    to: '  return current ?? keys\n',
    by: 'health_view',
  },
  {
    title: 'wraps are not bound to the header',
    file: 'wrapping.ts',
    from: '    const associatedData = header.digest\n',
    to: '    const associatedData = new Uint8Array(32)\n',
    by: 'keyring',
  },
  {
    title: 'Decrypt takes any key id',
    file: 'keyring.ts',
    from: 'request.keyId !== undefined && request.keyId !== envelope.keyId',
    to: 'request.keyId === ""',
    by: 'keyring',
  },
  {
    title: 'the key id says nothing of the creation time',
    file: 'key_id.ts',
    from: '    version,\n    createdAt,\n  ])',
    to: '    version,\n    createdAt === -1,\n  ])',
    by: 'key_id',
  },
  {
    title: 'recipients are not part of the key id',
    file: 'key_id.ts',
    from: '...(recipients.length === 0 ? [] : [recipients])',
    to: '...(recipients.length === 0 ? [] : [])',
    by: 'several_providers',
  },
  {
    title: 'a full key id stands on the wraps of those that answered',
    file: 'wrapping.ts',
    from: 'if (done.length === left.monitors.length) return',
    to: 'if (done.length >= 0) return',
    by: 'several_providers',
  },
  {
    title: 'one that was left out returns at once',
    file: 'writers.ts',
    from: 'active.has(id) || !out.has(id) || forMs >= rules.returnMs',
    to: 'active.has(id) || forMs >= 0',
    by: 'writers',
  },
  {
    title: 'a denied key is held like an outage',
    file: 'observation.ts',
    from: "  'unavailable',\n",
    to: "  'unavailable',\n  'denied',\n",
    by: 'several_providers',
  },
  {
    title: 'Decrypt under threshold is content with one share less',
    file: 'keyring.ts',
    from: 'this.#hedge(openers, envelope.k, call)',
    to: 'this.#hedge(openers, Math.max(envelope.k - 1, 1), call)',
    by: 'several_providers',
  },
  {
    title: 'another scheme is taken for the one in the header',
    file: 'envelope.ts',
    from: "const fits = scheme === 'any' ? k === 1 : k >= 2 && k <= members.length",
    to: 'const fits = true',
    by: 'envelope',
  },
  {
    title: 'a lagging replica is believed',
    file: 'rotation.ts',
    from: "if (!kept && newest.createdAt <= newestSeen.createdAt) return 'lagging'",
    to: "if (!kept && newest.createdAt < 0) return 'lagging'",
    by: 'rotation',
  },
]

const test = suite('kms/seeded faults', () => ({}))

const run = promisify(execFile)

async function passes(root: string, by: string): Promise<boolean> {
  try {
    const file = `test/kms/${by}.test.ts`
    await run(process.execPath, [file], { cwd: root, timeout: RUN_LIMIT_MS })
    return true
  } catch {
    return false
  }
}

test('every fault is found, and without one all is well', async () => {
  await using folder = await tempFolder()
  for (const part of PARTS) await cp(join(ROOT, part), folder.at(part), { recursive: true })
  await symlink(join(ROOT, 'node_modules'), folder.at('node_modules'))
  for (const by of new Set(FAULTS.map((fault) => fault.by))) {
    assert.ok(await passes(folder.path, by), `${by} passes without a fault`)
  }

  const unseen: string[] = []
  for (const { title, file, from, to, by } of FAULTS) {
    const path = folder.at(`src/kms/${file}`)
    const text = await readFile(path, 'utf8')
    assert.is(text.split(from).length, 2, `${file} holds once what "${title}" changes`)
    await writeFile(
      path,
      text.replace(from, () => to),
    )
    if (await passes(folder.path, by)) unseen.push(title)
    await writeFile(path, text)
  }

  assert.equal(unseen, [])
})

test.run()
