/** Whether a process serves a unix socket, or left its file behind. @module */

import { once } from 'node:events'
import { connect } from 'node:net'
import { systemCodeOf } from './errors.ts'

/** @throws what else than a missing or left socket is in the way, such as permissions */
export async function socketAnswers(path: string): Promise<boolean> {
  const socket = connect(path)
  try {
    await once(socket, 'connect')
    return true
  } catch (error) {
    const errno = systemCodeOf(error)
    if (errno === 'ECONNREFUSED' || errno === 'ENOENT') return false
    throw error
  } finally {
    socket.destroy()
  }
}
