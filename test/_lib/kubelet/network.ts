/**
 * A network of the test's own: machines are connected to a bridge, on which this process has an
 * address too, and no packet leaves it.
 *
 * @module
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { run } from '../package/shipped.ts'
import { prepareNodes } from './programs.ts'

const INSIDE = 'TROUSSEAU_TEST_NETWORK'
export const BRIDGE = 'nodes'
/** Where what the test runs itself, such as a key service, is for the machines. */
export const OUTSIDE = '10.20.30.254'

/** The address of a machine; the first one is 1. */
export function addressOf(number: number): string {
  return `10.20.30.${number}`
}

/**
 * Starts the test file again in a network of its own, and ends this process when that one ends.
 * Whatever must be downloaded or built comes before: inside there is no way out.
 */
export async function enterNetwork(moduleUrl: string): Promise<void> {
  if (process.env[INSIDE] !== undefined) {
    await run('ip', ['link', 'set', 'lo', 'up'])
    await run('ip', ['link', 'add', BRIDGE, 'type', 'bridge'])
    await run('ip', ['address', 'add', `${OUTSIDE}/24`, 'dev', BRIDGE])
    await run('ip', ['link', 'set', BRIDGE, 'up'])
    return
  }
  await prepareNodes()
  const child = spawn(
    'unshare',
    ['--net', '--kill-child', process.execPath, fileURLToPath(moduleUrl)],
    { stdio: 'inherit', env: { ...process.env, [INSIDE]: '1' } },
  )
  const [code] = await once(child, 'exit')
  process.exit(code ?? 1)
}
