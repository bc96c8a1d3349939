/**
 * Keeps Deno's HTTP/2 from ending the process; on Node this does nothing.
 *
 * On Deno 2.9.6 a session that ends frees what nghttp2 works with, also where that happens while
 * nghttp2 reads or writes for it: the process is gone with SIGSEGV or an assertion
 * (`closed_next == NULL`). A peer that says goodbye does just that (denoland/deno, issue 36788).
 * Here sessions end in the next turn of the event loop, when nobody works with them.
 *
 * @module
 */

import { type Http2Session, performServerHandshake } from 'node:http2'
import process from 'node:process'
import { Duplex } from 'node:stream'
import { setImmediate } from 'node:timers'

if (process.versions['deno'] !== undefined) endSessionsLater()

function endSessionsLater(): void {
  const sessions = methodsOfSessions()
  for (const name of ['close', 'destroy'] as const) {
    const end: (...args: never[]) => void = sessions[name]
    sessions[name] = function later(this: Http2Session, ...args: never[]) {
      setImmediate(() => Reflect.apply(end, this, args))
    }
  }
}

/** What all sessions have their methods from. Node does not export it, so a session tells. */
function methodsOfSessions(): Pick<Http2Session, 'close' | 'destroy'> {
  const nowhere = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() })
  const session = performServerHandshake(nowhere)
  session.destroy()
  return Object.getPrototypeOf(Object.getPrototypeOf(session))
}
