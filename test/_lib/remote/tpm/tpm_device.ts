/** A TPM as a character device, where the kernel has none. @module */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const BRIDGE = fileURLToPath(new URL('tpm_device.py', import.meta.url))

export async function startTpmDevice(
  socketPath: string,
): Promise<{ readonly device: string } & AsyncDisposable> {
  const bridge = spawn('python3', [BRIDGE, socketPath], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [path] = await once(bridge.stdout.setEncoding('utf8'), 'data')
  return {
    device: String(path).trim(),
    async [Symbol.asyncDispose]() {
      const ended = once(bridge, 'exit')
      bridge.kill('SIGKILL')
      await ended
    },
  }
}
