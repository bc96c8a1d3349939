/** The real Open Policy Agent, built once from its Go modules into the cache. @module */

import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { ServerProcess } from '../cluster/server_process.ts'
import { freePort } from '../free_port.ts'
import { freeze } from '../freeze.ts'
import { goPrograms } from '../go/programs.ts'
import type { TempFolder } from '../temp_folder.ts'

const SOURCES = fileURLToPath(new URL('../../policy/go/opa/', import.meta.url))

export async function opaBinary(): Promise<string> {
  const packages = ['github.com/open-policy-agent/opa']
  return join(await goPrograms({ name: 'opa', sources: SOURCES, packages, linkerFlags: [] }), 'opa')
}

interface Opa extends AsyncDisposable {
  readonly address: string
  readonly socket: string
  readonly process: ServerProcess
  /** It answers nothing, and takes connections. */
  freeze(): void
  thaw(): void
}

/** @param flags such as those of TLS; with them the address is `https://` */
export async function startOpa(
  folder: TempFolder,
  rego: string,
  flags: readonly string[] = [],
): Promise<Opa> {
  const policy = folder.at('policy.rego')
  await writeFile(policy, rego)
  const program = await opaBinary()
  const port = await freePort()
  const socket = folder.at('opa.sock')
  const addresses = [`127.0.0.1:${port}`, `unix://${socket}`].flatMap((each) => ['--addr', each])
  const server = new ServerProcess({
    name: 'OPA',
    program,
    args: () => [
      ...['run', '--server', '--disable-telemetry', '--log-level', 'error', ...addresses],
      ...flags,
      policy,
    ],
    // It listens once it has read its policies; what it wants of clients differs.
    answers: async () => {
      const connection = connect(port, '127.0.0.1')
      await once(connection, 'connect')
      connection.destroy()
      return true
    },
  })
  await server.start()
  return {
    address: `${flags.length === 0 ? 'http' : 'https'}://127.0.0.1:${port}`,
    socket,
    process: server,
    freeze: () => freeze(server.pid),
    thaw: () => process.kill(server.pid, 'SIGCONT'),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}
