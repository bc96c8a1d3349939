/**
 * A process of its own that besets an admin server until it is ended: of its connections some are
 * open and silent, some send a byte of a header now and then, and some ask a few times a second for
 * pages, for files above the root, with headers that are too large, or with what is no HTTP. It
 * prints a line for each second: how many answers of each status came.
 *
 * @module
 */

import { connect } from 'node:net'
import process from 'node:process'

const CONNECTIONS = 1_000
/** A new one after each that the server closed. */
const AGAIN_MS = 500
const EVERY_MS = 2_000
const LARGE = 'x'.repeat(20_000)
const REQUESTS = [
  'GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n',
  'GET /../../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n',
  'GET /readyz/%2e%2e%2f%2e%2e%2fetc%2fpasswd HTTP/1.1\r\nHost: localhost\r\n\r\n',
  `GET /statusz HTTP/1.1\r\nHost: localhost\r\nX: ${LARGE}\r\n\r\n`,
  'GET /readyz?verbose HTTP/1.1\r\nHost: localhost\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n',
  '\u0000\u0001PRI * HTTP/2.0\r\n\r\n',
  'GET / HTTP/1.1\r\nHost: evil.example.org\r\nAccept: text/html\r\n\r\n',
]
const port = Number(process.argv[2])
const seen: Record<string, number> = {}

function count(what: string): void {
  seen[what] = (seen[what] ?? 0) + 1
}

function open(index: number): void {
  const socket = connect(port, '127.0.0.1')
  socket.setEncoding('latin1')
  const kind = index % 3
  let turn = index
  const act = () => {
    if (kind === 1) socket.write('G')
    if (kind === 2) socket.write(REQUESTS[turn++ % REQUESTS.length] ?? '')
  }
  const timer = setInterval(act, EVERY_MS)
  socket.on('connect', () => {
    count('connected')
    setTimeout(act, Math.random() * EVERY_MS)
  })
  socket.on('data', (text: string) => {
    for (const [, status = ''] of text.matchAll(/HTTP\/1\.1 (\d{3}) /g)) count(status)
    if (text.includes('root:')) count('LEAKED')
  })
  socket.on('error', () => count('reset'))
  socket.on('close', () => {
    clearInterval(timer)
    setTimeout(() => open(index), AGAIN_MS)
  })
}

for (let index = 0; index < CONNECTIONS; index += 1) open(index)
setInterval(() => process.stdout.write(`${JSON.stringify(seen)}\n`), 1_000)
