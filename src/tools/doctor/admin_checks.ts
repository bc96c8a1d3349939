/** Checks the admin server's address: whether the node has it, and who answers there. @module */

import { once } from 'node:events'
import { request } from 'node:http'
import { createServer } from 'node:net'
import { systemCodeOf } from '../../base/errors.ts'
import type { Listen } from '../../config/schema.ts'
import { type Finding, found, ok } from './finding.ts'

const LIMIT_MS = 3_000
const MAX_BYTES = 8_192
/**
 * What a failure to connect means. Whoever accepts the connection and answers anything else is
 * another program.
 */
const UNANSWERED: Readonly<Record<string, Answer>> = {
  ECONNREFUSED: 'nobody',
  ENOENT: 'nobody',
  // Only root and the plugin's user may connect.
  EACCES: 'unseen',
}
const WHY =
  'The plugin serves without it and tries again, but nobody is told of an outage, and the probes of its pod restart it.'

/** @param pluginAnswers whether a plugin answers on its socket */
export async function adminFindings(at: Listen, pluginAnswers: boolean): Promise<Finding[]> {
  const where = 'path' in at ? at.path : `${at.host}:${at.port}`
  const problem = 'path' in at ? undefined : await addressProblem(at.host)
  if (problem !== undefined) return [wrongAddress(where, problem)]
  // With port 0, each start gets another port, so there is nothing to check.
  if ('port' in at && at.port === 0) return []
  const answer = await answerAt(at)
  if (answer === 'ours') return [ok('admin', `The admin server answers on ${where}`)]
  return [
    ...found(answer === 'other', {
      id: 'admin-taken',
      level: 'warning',
      what: `What answers on ${where} (admin.listen) is not this plugin's admin server`,
      why: WHY,
      todo: 'Choose another port, or stop what uses it (ss -ltnp): the plugin then takes it by itself.',
    }),
    ...found(answer === 'nobody' && pluginAnswers, {
      id: 'admin-down',
      level: 'warning',
      what: `The plugin runs, and nobody answers on ${where} (admin.listen)`,
      why: WHY,
      todo: 'Its log says why, as admin_waits. After a change of admin.listen it needs a restart.',
    }),
  ]
}

function wrongAddress(where: string, why: string): Finding {
  return {
    id: 'admin-address',
    level: 'warning',
    what: `The admin server cannot have ${where} here (${why})`,
    why: WHY,
    todo: 'Set admin: { listen: "127.0.0.1:8787" }.',
  }
}

/** Listens on any free port of the address for a moment. */
async function addressProblem(host: string): Promise<string | undefined> {
  const server = createServer()
  // An error of the resolver may come after the time limit.
  server.on('error', () => undefined)
  try {
    server.listen(0, host)
    await once(server, 'listening', { signal: AbortSignal.timeout(LIMIT_MS) })
    return undefined
  } catch (error) {
    return systemCodeOf(error) ?? 'no answer of the resolver'
  } finally {
    server.close()
  }
}

type Answer = 'ours' | 'other' | 'nobody' | 'unseen'

async function answerAt(at: Listen): Promise<Answer> {
  const to = 'path' in at ? { socketPath: at.path } : { host: at.host, port: at.port }
  const headers = { host: 'localhost' }
  const asked = request({ ...to, headers, signal: AbortSignal.timeout(LIMIT_MS) })
  // The result depends on the first error alone.
  asked.on('error', () => undefined)
  try {
    asked.end()
    const [answer] = await once(asked, 'response')
    let text = ''
    for await (const part of answer.setEncoding('utf8')) {
      text += String(part)
      if (text.length > MAX_BYTES) return 'other'
    }
    return text.startsWith('Trousseau\n') ? 'ours' : 'other'
  } catch (error) {
    return UNANSWERED[systemCodeOf(error) ?? ''] ?? 'other'
  } finally {
    asked.destroy()
  }
}
