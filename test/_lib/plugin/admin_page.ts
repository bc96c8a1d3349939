/** Pages of an admin server that listens on a socket. @module */

import { once } from 'node:events'
import { request } from 'node:http'

export async function adminPage(socketPath: string, path: string): Promise<string> {
  const outgoing = request({ socketPath, path }).end()
  const [incoming] = await once(outgoing, 'response')
  let text = ''
  for await (const chunk of incoming.setEncoding('utf8')) text += String(chunk)
  return text
}
