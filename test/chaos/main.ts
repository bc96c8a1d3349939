/**
 * `npm run test:chaos -- --histories 1000 [--seed N] [--minutes N]`: random histories under faults, and their
 * figures. `--history JSON` runs one again, as a failure prints it, and `--planted` shows what
 * faults in the sources they find.
 *
 * @module
 */

import process from 'node:process'
import { parseArgs } from 'node:util'
import { campaign, type Failure } from './campaign.ts'
import { runCrew } from './crew.ts'
import { findPlanted } from './planted.ts'
import type { History } from './steps.ts'

const { values, positionals } = parseArgs({
  options: {
    histories: { type: 'string', default: '100' },
    seed: { type: 'string' },
    minutes: { type: 'string' },
    history: { type: 'string' },
    'here-only': { type: 'boolean', default: false },
    'first-only': { type: 'boolean', default: false },
    planted: { type: 'boolean', default: false },
  },
  allowPositionals: true,
})

const PROGRESS_EVERY = 25

process.exit(await chosen())

async function chosen(): Promise<number> {
  if (values.planted) return await findPlanted(positionals[0])
  return values.history === undefined ? await runMany() : await runOne(values.history)
}

async function runMany(): Promise<number> {
  const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 32))
  const start = performance.now()
  const seconds = () => Math.round((performance.now() - start) / 1000)
  say(`chaos: ${values.histories} histories, --seed ${seed}`)
  const { failures, faults } = await campaign({
    histories: Number(values.histories),
    seed,
    minutes: values.minutes === undefined ? undefined : Number(values.minutes),
    hereOnly: values['here-only'],
    firstOnly: values['first-only'],
    failed: (failure) => say(told(failure)),
    ran: (figures) => say(figures.lines().join('\n')),
    progress(done) {
      if (done % PROGRESS_EVERY === 0) say(`${done} histories after ${seconds()} s`)
    },
  })
  for (const failure of failures) say(`shrunk: ${told(failure)}`)
  for (const fault of faults) say(`FAULT ${fault}`)
  say(`took ${seconds()} s`)
  return failures.length + faults.length === 0 ? 0 : 1
}

async function runOne(text: string): Promise<number> {
  const queue: History[] = [JSON.parse(text)]
  let broken = 0
  const { faults } = await runCrew({
    processes: 1,
    lanes: 1,
    next: () => queue.shift(),
    done(_, outcome) {
      broken += outcome.violation === undefined ? 0 : 1
      say(JSON.stringify(outcome, undefined, 2))
    },
  })
  for (const fault of faults) say(`FAULT ${fault}`)
  return broken + faults.length === 0 ? 0 : 1
}

function told({ history, message }: Failure): string {
  return `VIOLATION ${message}\n  npm run test:chaos -- --history '${JSON.stringify(history)}'`
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
