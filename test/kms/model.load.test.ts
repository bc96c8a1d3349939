/**
 * Random histories of three nodes over three key services: rotations, lags, outages,
 * restarts, wrong clocks, roll-outs of other protections; and what must hold in all
 * of them. `MODEL_HISTORIES=20000 node test/kms/model.load.test.ts` runs more, with
 * `FUZZ_SEED` the same again, and with `MODEL_HISTORY` one of them.
 */

import { execFile } from 'node:child_process'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import type { KmsService } from '../../src/base/service.ts'
import { SeededRandom } from '../_lib/seeded_random.ts'
import { suite } from '../_lib/uvu.ts'
import { history } from './model_history.ts'
import type { Mistakes } from './model_world.ts'

const HISTORIES = Number(process.env['MODEL_HISTORIES'] ?? 300)
const PROCESSES = 2
const LIMIT_MS = HISTORIES * 2_500
const WORKER = fileURLToPath(new URL('./model_history.ts', import.meta.url))

const test = suite('kms/model', () => ({}), LIMIT_MS)

const run = promisify(execFile)

test(`${HISTORIES} random histories lose nothing, and nodes agree once they are quiet [R1 R2 R4 R6 R9 S9]`, async () => {
  const only = process.env['MODEL_HISTORY']
  if (only !== undefined) return assert.is(await history(Number(only)), undefined)
  const random = SeededRandom.announced('kms/model')
  const each = Math.ceil(HISTORIES / PROCESSES)
  const workers = Array.from({ length: PROCESSES }, () =>
    run(process.execPath, [WORKER, String(random.below(2 ** 32)), String(each)]),
  )

  const broken = await Promise.all(workers)

  assert.is(
    broken
      .map(({ stdout }) => stdout)
      .join('\n')
      .trim(),
    '',
  )
})

/** Passes everything on, but for what `change` replaces. */
const altered =
  (change: (keyring: KmsService) => Partial<KmsService>) => (keyring: KmsService) => ({
    status: () => keyring.status(),
    encrypt: (...args: Parameters<KmsService['encrypt']>) => keyring.encrypt(...args),
    decrypt: (...args: Parameters<KmsService['decrypt']>) => keyring.decrypt(...args),
    ...change(keyring),
  })

const MISTAKES: readonly [string, () => Mistakes][] = [
  ["activation by the nodes' own clocks", () => ({ hidesServiceTime: true })],
  [
    'a key id that a key made again keeps',
    () => ({
      between: altered((keyring) => ({
        status: () => keyring.status().replace(/-[\w-]{43}$/, ''),
        encrypt: async (...args) => {
          const reply = await keyring.encrypt(...args)
          return { ...reply, keyId: reply.keyId.replace(/-[\w-]{43}$/, '') }
        },
        decrypt: (request, call) => keyring.decrypt({ ...request, keyId: undefined }, call),
      })),
    }),
  ],
  [
    'an Encrypt that keeps the key id of its first answer',
    () => {
      let first: string | undefined
      return {
        between: altered((keyring) => ({
          encrypt: async (...args) => {
            const reply = await keyring.encrypt(...args)
            first ??= reply.keyId
            return { ...reply, keyId: first }
          },
        })),
      }
    },
  ],
  [
    'a Decrypt that loses a provider',
    () => ({
      between: altered((keyring) => ({
        decrypt: (request, call) => {
          const refused = request.keyId?.includes('2of3') === true
          return refused ? Promise.reject(new Error('Lost')) : keyring.decrypt(request, call)
        },
      })),
    }),
  ],
]

for (const [what, mistakes] of MISTAKES) {
  test(`the model finds ${what}`, async () => {
    const random = new SeededRandom(1)
    for (let turn = 0; turn < 150; turn += 1) {
      const seed = random.below(2 ** 32)
      if ((await history(seed, mistakes())) !== undefined) return
    }
    assert.unreachable('It was not found in 150 histories')
  })
}

test.run()
