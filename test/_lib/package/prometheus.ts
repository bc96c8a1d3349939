/** A real Prometheus on loopback, and its promtool: Debian's. @module */

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { request } from 'undici'
import * as v from 'valibot'
import { ServerProcess } from '../cluster/server_process.ts'
import { debianTool } from '../debian.ts'
import { freePort } from '../free_port.ts'
import type { TempFolder } from '../temp_folder.ts'

const PROMTOOL = '/usr/bin/promtool'
const run = promisify(execFile)

const labels = v.record(v.string(), v.string())
const sample = v.object({ metric: labels, value: v.tuple([v.number(), v.string()]) })
const queryReply = v.object({ data: v.object({ result: v.array(sample) }) })
const alertsReply = v.object({
  data: v.object({
    alerts: v.array(v.object({ labels, annotations: labels, state: v.string() })),
  }),
})

interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

interface FiredAlert {
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

export interface Prometheus extends AsyncDisposable {
  /** What the query answers now. */
  query(expr: string): Promise<readonly Sample[]>
  /** The value of the one sample that it answers. */
  number(expr: string): Promise<number | undefined>
  /** Those that fire. */
  firing(): Promise<readonly FiredAlert[]>
}

/** Resolves to what it printed. */
export async function promtool(...args: string[]): Promise<string> {
  await debianTool('prometheus')
  const { stdout, stderr } = await run(PROMTOOL, args, { maxBuffer: 2 ** 24 })
  return stdout + stderr
}

/** @param configFile where rules are named from its folder on */
export async function startPrometheus(folder: TempFolder, configFile: string): Promise<Prometheus> {
  const program = await debianTool('prometheus')
  const port = await freePort()
  const address = `http://127.0.0.1:${port}`
  const server = new ServerProcess({
    name: 'Prometheus',
    program,
    args: () => [
      `--config.file=${configFile}`,
      `--storage.tsdb.path=${folder.at('prometheus')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    answers: async () => (await request(`${address}/-/ready`)).statusCode === 200,
  })
  const ask = async (path: string): Promise<unknown> => {
    const { statusCode, body } = await request(`${address}/api/v1/${path}`)
    const text = await body.text()
    if (statusCode !== 200) throw new Error(`Prometheus answered ${statusCode} to ${path}: ${text}`)
    return JSON.parse(text)
  }
  const query = async (expr: string) => {
    const { data } = v.parse(queryReply, await ask(`query?query=${encodeURIComponent(expr)}`))
    return data.result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }))
  }
  try {
    await server.start()
  } catch (error) {
    await server.stop('SIGKILL')
    throw error
  }
  return {
    query,
    number: async (expr) => (await query(expr))[0]?.value,
    async firing() {
      const { data } = v.parse(alertsReply, await ask('alerts'))
      return data.alerts.filter(({ state }) => state === 'firing')
    },
    [Symbol.asyncDispose]: () => server.stop('SIGKILL'),
  }
}
