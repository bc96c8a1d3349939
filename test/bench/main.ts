/**
 * `npm run bench` measures what Trousseau costs on this machine, as ratios to an empty gRPC service
 * and to asking OpenBao directly. `--quick` only shows that it works. `--peer` takes the command of
 * another KMS plugin, which is measured in the same rounds in front of the same OpenBao. Other runs:
 * `--memory` (with `--requests` and `--soak-minutes`), `--settings` (with any number of `--setting`,
 * such as `--setting="--lite-mode MALLOC_ARENA_MAX=1"`, instead of the list), and `--profile`. In
 * each, `--json` prints everything and `--markdown` writes the tables into docs/performance.md.
 *
 * @module
 */

import process from 'node:process'
import { parseArgs } from 'node:util'
import { runBench } from './bench.ts'
import { measureMemory, printMemory } from './memory.ts'
import { writePart } from './page.ts'
import { measureProfile, printProfile } from './profile.ts'
import { print } from './report.ts'
import { measureSettings, printSettings, SETTINGS } from './settings.ts'

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    markdown: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    memory: { type: 'boolean', default: false },
    requests: { type: 'string', default: '1000000' },
    'soak-minutes': { type: 'string', default: '10' },
    settings: { type: 'boolean', default: false },
    setting: { type: 'string', multiple: true, default: [...SETTINGS] },
    profile: { type: 'boolean', default: false },
    peer: { type: 'string' },
  },
})

if (values.memory) {
  const options = {
    requests: positive('requests', values.requests),
    soakMinutes: positive('soak-minutes', values['soak-minutes']),
  }
  await show('memory', await measureMemory(options), printMemory)
} else if (values.settings) {
  await show('settings', await measureSettings(values.setting), printSettings)
} else if (values.profile) {
  await show('profile', await measureProfile(), printProfile)
} else {
  await show('bench', await runBench(values.quick, values.peer), print)
}

async function show<T>(
  part: string,
  report: T,
  toText: (report: T, markdown: boolean) => string,
): Promise<void> {
  if (values.markdown) await writePart(part, toText(report, true))
  const text = values.json ? JSON.stringify(report, null, 2) : toText(report, false)
  process.stdout.write(`${text}\n`)
}

function positive(option: string, text: string): number {
  const value = Number(text)
  if (value > 0) return value
  throw new Error(`--${option} is ${text}: wanted a number above 0`)
}
