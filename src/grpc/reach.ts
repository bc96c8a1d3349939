/** Tests whether a process listens on a socket, and tells an operator why none does. @module */

import { connect } from 'node:net'
import { KmsError, systemReasonOf } from '../base/errors.ts'

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file: see whether the plugin runs and under which path',
  ENOTDIR: 'there is no such file: see whether the plugin runs and under which path',
  ECONNREFUSED: 'nobody listens there, the file is a leftover: start the plugin',
  EACCES: 'this user may not write to it: use its owner, its group or root',
  EPERM: 'this user may not write to it: use its owner, its group or root',
}

/** @throws KmsError `unavailable` */
export function reach(path: string, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    const refuse = (reason: string, cause?: Error) => {
      const message = `Cannot connect to ${path}: ${reason}`
      reject(new KmsError(message, { code: 'unavailable', cause }))
      socket.destroy()
    }
    socket.setTimeout(timeoutMs, () => refuse(`no answer within ${timeoutMs} ms`))
    socket.once('error', (cause: NodeJS.ErrnoException) => {
      refuse(REASONS[cause.code ?? ''] ?? systemReasonOf(cause), cause)
    })
    socket.once('connect', () => {
      resolve()
      socket.destroy()
    })
  })
}
