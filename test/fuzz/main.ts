/**
 * `npm run test:fuzz`: surfaces with inputs that somebody else could have written. Each must end
 * with a value or an error that has a name, within a second, and leave nothing behind.
 *
 *     npm run test:fuzz -- --surface envelope --runs 1000000 --seed 7
 *
 * `--keep` writes what reached something new into `test/fuzz/corpus`; `--input LINE` runs one line
 * of a corpus, or of a finding.
 *
 * @module
 */

import process from 'node:process'
import { parseArgs } from 'node:util'
import { inputOf } from './engine/corpus.ts'
import { readAtOnce } from './engine/instant_files.ts'
import { tried } from './engine/trial.ts'
import { type Result, runCampaign } from './run_campaign.ts'
import { SURFACES, surfaceOf } from './surfaces/registry.ts'

const { values } = parseArgs({
  options: {
    surface: { type: 'string', multiple: true, default: [...SURFACES] },
    runs: { type: 'string', default: '100000' },
    seconds: { type: 'string', default: 'Infinity' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 32)) },
    input: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
})
const HEAD = [
  'surface',
  'inputs',
  'seconds',
  'corpus',
  'functions',
  'lines',
  'crashes',
  'hangs',
  'growth',
]
const MINUTE_MS = 60_000
const WIDTHS = [18, 9, 8, 16, 10, 11, 8, 6, 14]

const [runs, seconds, seed] = [values.runs, values.seconds, values.seed].map(Number)
process.exitCode = values.input === undefined ? await fuzzAll() : await runOne(values.input)

async function fuzzAll(): Promise<number> {
  process.stdout.write(`seed ${seed}\n${row(HEAD)}`)
  let bad = 0
  for (const name of values.surface) {
    const limits = { runs: runs ?? 0, seconds: seconds ?? 0, seed: seed ?? 0 }
    const result = await runCampaign({ name, ...limits, keeps: values.keep }, everyMinute(name))
    process.stdout.write(row(cellsOf(name, result)))
    for (const { kind, what, times, line } of result.findings) {
      bad += 1
      process.stdout.write(
        `  ${kind} (${times}): ${what}\n    --surface ${name} --input '${line}'\n`,
      )
    }
    if (result.grows) bad += 1
  }
  return bad > 0 ? 1 : 0
}

/** Some surfaces take hours for a million. */
function everyMinute(name: string): (inputs: number) => void {
  const begun = performance.now()
  let told = 0
  return (inputs) => {
    const minute = Math.floor((performance.now() - begun) / MINUTE_MS)
    if (minute === told) return
    told = minute
    process.stderr.write(`${name}: ${inputs} inputs in ${minute} min …\n`)
  }
}

async function runOne(line: string): Promise<number> {
  readAtOnce()
  const [name = ''] = values.surface
  const target = await (await surfaceOf(name)).open()
  const finding = await tried(target, inputOf(line))
  await target[Symbol.asyncDispose]()
  process.stdout.write(
    `${finding === undefined ? 'all is well' : `${finding.kind}: ${finding.what}`}\n`,
  )
  return finding === undefined ? 0 : 1
}

function row(cells: readonly string[]): string {
  return `${cells
    .map((cell, at) => cell.padEnd(WIDTHS[at] ?? 0))
    .join(' ')
    .trimEnd()}\n`
}

function cellsOf(name: string, { summary, findings, grows }: Result): string[] {
  const count = (kind: string) => String(findings.filter((each) => each.kind === kind).length)
  if (summary === undefined)
    return [name, '-', '-', '-', '-', '-', count('crash'), count('hang'), '-']
  const { inputs, corpus, functions, ofFunctions, lines, ofLines, grownBytes } = summary
  const corpusBytes = corpus.reduce((sum, { length }) => sum + length, 0)
  return [
    name,
    String(inputs),
    summary.seconds.toFixed(0),
    `${corpus.length} (${(corpusBytes / 1_024).toFixed(0)} kB)`,
    `${functions}/${ofFunctions}`,
    `${lines}/${ofLines}`,
    count('crash'),
    count('hang'),
    `${grownBytes} B/1000${grows ? ' GROWS' : ''}`,
  ]
}
