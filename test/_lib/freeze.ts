/** Stops a process as a whole. @module */

import { readdirSync, readFileSync } from 'node:fs'
import process from 'node:process'

/**
 * Sends SIGSTOP, and returns once every thread has stopped: on a busy machine one that runs on
 * another core could still answer a request that comes after the signal. `process.kill(pid,
 * 'SIGCONT')` lets it go on.
 */
export function freeze(pid: number): void {
  process.kill(pid, 'SIGSTOP')
  while (!isStopped(pid));
}

function isStopped(pid: number): boolean {
  const threads = readdirSync(`/proc/${pid}/task`)
  return threads.every((thread) => /\) [TZX] /.test(statOf(`/proc/${pid}/task/${thread}/stat`)))
}

/** Of a thread that has ended meanwhile: as if it had stopped. */
function statOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return '() X '
  }
}
