/**
 * What rules cost a request: two plugins with a key file, one of them with 64 rules, are asked in
 * turn, and each Encrypt's processor time and latency is compared. A key file is the cheapest of
 * all key services, so with any other the share is smaller.
 *
 * @module
 */

import process from 'node:process'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { Generators } from './generators.ts'
import { prepared, socketPrepares } from './operations.ts'
import { Processes, type ServerProcess } from './processes.ts'
import { machine } from './report.ts'
import { ratio, table } from './tables.ts'
import { cpuMs, rssMb } from './usage.ts'

const RULES = 64
const ROUNDS = 12
const REQUESTS = 8_000
const CONCURRENCY = 16

interface RulesReport {
  readonly machine: string
  readonly method: string
  /** Medians over the rounds of the plugin with rules by the one without, measured one after the other. */
  readonly cpu: number
  readonly latency: number
  /** The least and the most of the rounds. */
  readonly cpuRange: readonly [number, number]
  /** Processor time an Encrypt without rules, in microseconds. */
  readonly plainUs: number
  readonly rssMb: readonly [plain: number, ruled: number]
}

export async function measureRules(): Promise<RulesReport> {
  await using folder = await tempFolder()
  await using processes = new Processes()
  await using generators = new Generators(1)
  const keyFile = folder.at('keys')
  await createKeyFile(keyFile, Date.now)
  const provider = { type: 'local', keyFile }
  const plain = await processes.plugin({ folder: folder.at('plain'), provider })
  const config = { policy: { files: { keys: keyFile }, rules: rules() } }
  const ruled = await processes.plugin({ folder: folder.at('ruled'), provider, config })
  const ask = async (server: ServerProcess) => {
    const endpoint = { kind: 'socket', path: server.socketPath } as const
    const encrypts = await prepared(socketPrepares(server.socketPath), 'Encrypt')
    const before = cpuMs(server.pid)
    const load = { endpoint, ...encrypts, concurrency: CONCURRENCY, requests: REQUESTS }
    const { latencies } = await generators.run(load, 1)
    return { cpu: (cpuMs(server.pid) - before) / REQUESTS, latency: median(latencies) }
  }
  for (const server of [plain, ruled]) await ask(server)
  const rounds: {
    plain: Awaited<ReturnType<typeof ask>>
    ruled: Awaited<ReturnType<typeof ask>>
  }[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    // Whoever comes second may find another machine, so they take turns.
    const first = round % 2 === 0 ? await ask(plain) : undefined
    const second = await ask(ruled)
    rounds.push({ plain: first ?? (await ask(plain)), ruled: second })
  }
  const cpu = rounds.map((round) => round.ruled.cpu / round.plain.cpu)
  return {
    machine: machine(),
    method: `Encrypt with a key file, ${CONCURRENCY} at once, ${ROUNDS} rounds of ${REQUESTS} each, in turn; ${RULES} rules`,
    cpu: median(cpu),
    cpuRange: [Math.min(...cpu), Math.max(...cpu)],
    latency: median(rounds.map((round) => round.ruled.latency / round.plain.latency)),
    plainUs: median(rounds.map((round) => round.plain.cpu)) * 1_000,
    rssMb: [rssMb(plain.pid), rssMb(ruled.pid)],
  }
}

export function printRules(report: RulesReport, markdown: boolean): string {
  const { machine: where, method, cpu, cpuRange, latency, plainUs, rssMb: memory } = report
  const [least, most] = cpuRange
  const rows = [
    ['', 'with rules by without'],
    ['processor time of an Encrypt', `${ratio(cpu)} (${ratio(least)} to ${ratio(most)})`],
    ['its median latency', ratio(latency)],
    ['resident memory', ratio(memory[1] / memory[0])],
  ]
  const plain = `Without rules an Encrypt takes ${plainUs.toFixed(0)} µs of processor time.`
  return [`${where}. ${method}. ${plain}`, table(rows, markdown)].join('\n\n')
}

/** Over facts of the node and of the request, and over time, so that some are asked anew at every reading. */
function rules() {
  const expressions = [
    `files.keys.owner == ${process.getuid?.()}`,
    'files.keys.sha256.matches("^[0-9a-f]{64}$") && kernel.release != ""',
    'request.api in ["v2", "v1beta1"]',
    'time.now > timestamp("2026-01-01T00:00:00Z") && boot.age >= duration("0s")',
  ]
  return Array.from({ length: RULES }, (_, at) => ({
    name: `rule-${at}`,
    expression: expressions[at % expressions.length],
    message: 'It does not pass',
    mode: 'enforce',
  }))
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
