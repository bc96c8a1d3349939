/** Every message in docs/troubleshooting.md stands in the sources. @module */

import { readdir, readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { suite } from '../_lib/uvu.ts'

const test = suite('docs/troubleshooting', () => ({}))
const ROOT = new URL('../../', import.meta.url)

/** The first column of every table, without what differs from case to case. */
function messagesIn(page: string): string[] {
  return page
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .flatMap((line) => [...(line.split(' | ')[0] ?? '').matchAll(/`([^`]+)`/g)])
    .map(([, message = '']) => message.replace(/^…:? ?/, ''))
}

async function sources(): Promise<string> {
  const files = await readdir(new URL('src/', ROOT), { recursive: true })
  const texts = files
    .filter((name) => name.endsWith('.ts'))
    .map((name) => readFile(new URL(`src/${name}`, ROOT), 'utf8'))
  return (await Promise.all(texts)).join('\n')
}

test('docs/troubleshooting.md has no message that nothing says', async () => {
  const messages = messagesIn(await readFile(new URL('docs/troubleshooting.md', ROOT), 'utf8'))
  const said = await sources()

  assert.ok(messages.length > 50, `${messages.length} messages`)
  assert.equal(
    messages.filter((message) => !said.includes(message)),
    [],
  )
})

test('docs/troubleshooting.md has every reason for a refused login that is passed on', async () => {
  const page = await readFile(new URL('docs/troubleshooting.md', ROOT), 'utf8')
  const reasons = await readFile(new URL('src/services/vault/login/reasons.ts', ROOT), 'utf8')
  const claims = [...reasons.matchAll(/\['(invalid [^']+)'/g)].map(([, phrase = '']) => phrase)

  assert.ok(claims.length >= 8, claims.join())
  assert.equal(
    claims.filter((phrase) => !page.includes(`\`${phrase}\``)),
    [],
  )
})

test.run()
