/** The real agent of OpenBao or Vault, which logs in by approle and goes on doing so. @module */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { keyServerBinary } from '../_lib/services/vault/key_server.ts'
import type { OpenBao, Transit } from '../_lib/services/vault/openbao.ts'

interface AgentOptions {
  readonly folder: string
  readonly bao: OpenBao
  readonly transit: Transit
  /** Where it writes its token. */
  readonly sink?: string
  /** Of the agent's config, besides the login. */
  readonly config: object
}

export async function startAgent(options: AgentOptions): Promise<AsyncDisposable> {
  const { folder, bao, transit, sink } = options
  const credentials = {
    role_id_file_path: transit.roleIdFile,
    secret_id_file_path: transit.secretIdFile,
    remove_secret_id_file_after_reading: false,
  }
  const sinks = sink && { sink: [{ type: 'file', config: { path: sink, mode: 0o600 } }] }
  const config = {
    vault: { address: bao.address },
    auto_auth: { method: [{ type: 'approle', config: credentials }], ...sinks },
    ...options.config,
  }
  const file = join(folder, 'agent.json')
  await writeFile(file, JSON.stringify(config))
  return await runAgent(file)
}

/** @param file its config */
export async function runAgent(file: string): Promise<AsyncDisposable> {
  const child = spawn(await keyServerBinary(), ['agent', `-config=${file}`], { stdio: 'ignore' })
  return {
    async [Symbol.asyncDispose]() {
      const closed = once(child, 'close')
      if (child.exitCode !== null) return
      child.kill('SIGKILL')
      await closed
    },
  }
}
