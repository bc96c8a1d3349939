/** The OTLP receiver of the OpenTelemetry Collector as a process, and the spans that it understood. @module */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import * as v from 'valibot'
import { buildGoProgram } from '../go/program.ts'
import { exported, type OtlpSpan, spansOf } from './otlp.ts'

interface OtlpCollector extends AsyncDisposable {
  /** `host:port`. */
  readonly address: string
  /** What came so far, as the Collector prints it. */
  text(): string
  spans(): OtlpSpan[]
}

export async function startOtlpCollector(): Promise<OtlpCollector> {
  const child = spawn(await buildGoProgram('otlp_collector'), {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const ended = once(child, 'close')
  const lines: string[] = []
  const { promise: listens, resolve, reject } = Promise.withResolvers<string>()
  ended.then(() => reject(new Error('The collector ended')), reject)
  createInterface(child.stdout).on('line', (line) => {
    if (line.startsWith('{')) lines.push(line)
    else resolve(line)
  })
  return {
    address: await listens,
    text: () => lines.join('\n'),
    spans: () => lines.flatMap((line) => spansOf(v.parse(exported, JSON.parse(line)))),
    async [Symbol.asyncDispose]() {
      child.stdin.end()
      await ended
    },
  }
}
