/** A real TPM 2.0 in software (swtpm), and tpm2-tools to look at it as others do. @module */

import { Buffer } from 'node:buffer'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import { socketAnswers } from '../../../../src/base/socket_answers.ts'
import type { PcrValues } from '../../../../src/remote/tpm/structures.ts'
import { debianTool } from '../../debian.ts'
import { freeze } from '../../freeze.ts'
import { tempFolder } from '../../temp_folder.ts'
import { until } from '../../wait.ts'

const run = promisify(execFile)
/** What is measured. */
const MEASURED = Buffer.alloc(32, 0x5e)

export interface SoftwareTpm extends AsyncDisposable {
  /** As the config names it. */
  readonly device: string
  readonly socketPath: string
  /** Runs one of tpm2-tools, and gives what it prints. */
  tool(name: string, ...args: string[]): Promise<string>
  /** Measures something into PCRs. */
  extend(...pcrs: number[]): Promise<void>
  /** The values once that was done to one of them. */
  extended(values: PcrValues, pcr: number): PcrValues
  /** Ends it; keys and passwords stay. */
  stop(): Promise<void>
  /** Starts it as a boot does: PCRs are as at first. */
  start(): Promise<void>
  /** Nothing is answered any more, until it is thawed. */
  freeze(): void
  thaw(): void
}

/** @param empty how tpm2-tools spell the value that is measured */
export async function startSwtpm(): Promise<SoftwareTpm> {
  const binary = await debianTool('swtpm')
  await debianTool('tpm2-tools')
  const folder = await tempFolder()
  const socketPath = folder.at('tpm')
  await mkdir(folder.at('state'))
  let running: ChildProcess | undefined
  const start = async () => {
    const child = spawn(
      binary,
      [
        ...['socket', '--tpm2', '--tpmstate', `dir=${folder.at('state')}`],
        ...['--server', `type=unixio,path=${socketPath}`],
        // Where tpm2-tools look for it.
        ...['--ctrl', `type=unixio,path=${socketPath}.ctrl`],
        ...['--flags', 'not-need-init,startup-clear'],
      ],
      { stdio: 'ignore' },
    )
    running = child
    await until('the TPM listens', () => socketAnswers(socketPath))
  }
  const stop = async () => {
    const child = running
    if (child === undefined) return
    running = undefined
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
    await rm(socketPath, { force: true })
  }
  const tool: SoftwareTpm['tool'] = async (name, ...args) => {
    const env = { ...process.env, TPM2TOOLS_TCTI: `swtpm:path=${socketPath}` }
    const { stdout } = await run(join('/usr/bin', name), args, { cwd: folder.path, env })
    return stdout
  }
  await start()
  return {
    device: `unix://${socketPath}`,
    socketPath,
    tool,
    async extend(...pcrs) {
      await tool(
        'tpm2_pcrextend',
        ...pcrs.map((pcr) => `${pcr}:sha256=${MEASURED.toString('hex')}`),
      )
    },
    extended: (values, pcr) =>
      new Map([...values].map(([each, value]) => [each, each === pcr ? next(value) : value])),
    stop,
    start,
    freeze: () => {
      if (running?.pid !== undefined) freeze(running.pid)
    },
    thaw: () => running?.kill('SIGCONT'),
    async [Symbol.asyncDispose]() {
      await stop()
      await folder[Symbol.asyncDispose]()
    },
  }
}

function next(value: Buffer): Buffer {
  return createHash('sha256').update(value).update(MEASURED).digest()
}
