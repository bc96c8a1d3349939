/** One server for the tests of a file: each has an engine, a key and a role of its own there. @module */

import { type OpenBao, startOpenBao, type Transit } from './openbao.ts'

let shared: Promise<OpenBao> | undefined
let count = 0

export async function sharedOpenBao(folder: string): Promise<{ bao: OpenBao; transit: Transit }> {
  shared ??= startOpenBao()
  const bao = await shared
  count += 1
  const names = { mount: `transit-${count}`, key: `key-${count}` }
  return { bao, transit: await bao.setupTransit({ folder, ...names }) }
}

/** To be called once no test needs it any more. */
export async function endSharedOpenBao(): Promise<void> {
  await (await shared)?.[Symbol.asyncDispose]()
}
