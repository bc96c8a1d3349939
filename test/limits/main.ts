/**
 * `npm run test:limits` besets the binary in every way of `attacks.ts`, a fresh process each, with a
 * well-behaved client beside it, and prints a table for docs/limits.md. `--of=FILE` measures
 * another binary, `--only=WORDS` the attacks with these words in their names, and `--seconds=N` is how
 * long each of them lasts. API servers give a request 3 s; where other programs leave this one a tenth
 * of a core, `--patience=30` is the same. `--beside=FILE` attacks nobody, and compares what a start of
 * API servers takes with what it takes with that binary.
 *
 * @module
 */

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { tempFolder } from '../_lib/temp_folder.ts'
import { Processes } from '../bench/processes.ts'
import { machine } from '../bench/report.ts'
import { ARCHITECTURE, localProvider } from '../bench/starts.ts'
import { type Row, table, whole } from '../bench/tables.ts'
import { cpuMs, privateMb } from '../bench/usage.ts'
import { ADMIN_ATTACKS } from './admin_attacks.ts'
import { ATTACKS } from './attacks.ts'
import { coldStarts } from './cold_start.ts'
import type { SEEN } from './connection.ts'
import type { Experience } from './good_client.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
/** The most that an attack may take beyond that. */
const ATTACKER_SPARE_MS = 25_000
const QUIET_MS = 500
const AFTER_MS = 3_000
const SAMPLE_MS = 40
const NOTHING: typeof SEEN = {
  connected: 0,
  refused: 0,
  answers: 0,
  resets: 0,
  goaways: 0,
  closed: 0,
}
const HEAD: Row = [
  'attack',
  'before MB',
  'most',
  'after',
  'most with file pages',
  'good requests',
  'failed',
  'p50 ms',
  'p99 ms',
  'processor s',
  'answered',
  'streams reset',
  'GOAWAY',
  'connected',
  'closed',
]

const { values } = parseArgs({
  options: {
    of: { type: 'string', default: join(ROOT, 'dist', `trousseau-linux-${ARCHITECTURE}`) },
    only: { type: 'string', default: '' },
    seconds: { type: 'string', default: '5' },
    patience: { type: 'string', default: '3' },
    beside: { type: 'string' },
  },
})

const ROUNDS = 5
const attackMs = Number(values.seconds) * 1_000
const rows =
  values.beside === undefined
    ? await besiegeAll()
    : await coldStarts([values.of, values.beside], ROUNDS)
process.stdout.write(`${machine()}, ${new Date().toISOString().slice(0, 10)}\n\n`)
process.stdout.write(`${table(rows, true)}\n`)

async function besiegeAll(): Promise<Row[]> {
  const all: Row[] = [HEAD]
  const names = ['nothing', ...Object.keys(ATTACKS), ...Object.keys(ADMIN_ATTACKS)]
  for (const name of names.filter((each) => each.includes(values.only))) {
    const row = await besiege(name)
    process.stderr.write(`${row.join(' | ')}\n`)
    all.push(row)
  }
  return all
}

/** With pages of the executable that no other process has read, which the kernel can take back. */
function withFilePagesMb(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  const of = (line: RegExp) => Number(line.exec(text)?.[1] ?? 0)
  return (of(/^Private_Clean:\s+(\d+)/m) + of(/^Private_Dirty:\s+(\d+)/m)) / 1024
}

async function besiege(name: string): Promise<Row> {
  await using folder = await tempFolder()
  await using processes = new Processes()
  const admin = folder.at('admin.sock')
  const { socketPath, pid } = await processes.plugin({
    folder: folder.at('plugin'),
    provider: await localProvider(folder),
    binary: resolve(values.of),
    config: name in ADMIN_ATTACKS ? { admin: { listen: `unix://${admin}` } } : {},
  })
  const good = script('good_client.ts', [socketPath, values.patience])
  await once(good, 'message')
  await sleep(QUIET_MS)
  const before = privateMb(pid)
  const cpuBefore = cpuMs(pid)
  good.send('begin')
  let [most, mostWithFile] = [before, 0]
  const sampling = setInterval(() => {
    most = Math.max(most, privateMb(pid))
    mostWithFile = Math.max(mostWithFile, withFilePagesMb(pid))
  }, SAMPLE_MS)
  const seen = await attack(name, name in ADMIN_ATTACKS ? admin : socketPath)
  await sleep(AFTER_MS)
  clearInterval(sampling)
  const after = privateMb(pid)
  good.send('end')
  const [experience] = await once(good, 'message')
  const { requests, failures, p50, p99 }: Experience = experience
  for (const failure of new Set(failures)) process.stderr.write(`  ${failure}\n`)
  return [
    name,
    ...[before, most, after, mostWithFile, requests, failures.length].map(whole),
    ...[p50, p99, (cpuMs(pid) - cpuBefore) / 1_000].map((each) => each.toFixed(1)),
    ...[seen.answers, seen.resets, seen.goaways, seen.connected, seen.closed].map(String),
  ]
}

async function attack(name: string, address: string): Promise<typeof SEEN> {
  if (name === 'nothing') {
    await sleep(attackMs)
    return NOTHING
  }
  const attacker = script('attacker.ts', [name, address, String(attackMs)])
  const limit = setTimeout(() => attacker.kill('SIGKILL'), attackMs + ATTACKER_SPARE_MS)
  let seen: typeof SEEN = NOTHING
  attacker.on('message', (message: typeof SEEN) => {
    seen = message
  })
  await once(attacker, 'close')
  clearTimeout(limit)
  return seen
}

function script(file: string, args: readonly string[]): ChildProcess {
  return fork(join(ROOT, 'test', 'limits', file), args, {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
}
