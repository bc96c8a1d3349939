/** What docs/troubleshooting.md says of kube-apiserver's messages, compared with the program itself. @module */

import { readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { kubernetesBinaries } from '../_lib/cluster/binaries.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('cluster/troubleshooting', () => ({}))
const PAGE = new URL('../../docs/troubleshooting.md', import.meta.url)

test('docs/troubleshooting.md has no message of kube-apiserver that kube-apiserver does not have', async () => {
  const page = await readFile(PAGE, 'utf8')
  const [, section = ''] = /^## What kube-apiserver says$(.*?)^## /ms.exec(page) ?? []
  const rows = section.split('\n').filter((line) => /^\| (?:log|a \w+): /.test(line))
  const messages = rows.flatMap((row) => {
    const [message = ''] = row.split(' | ')
    return [...message.matchAll(/`([^`]+)`/g)].map(([, phrase = '']) => phrase)
  })
  const program = await readFile((await kubernetesBinaries()).apiServer)

  assert.ok(messages.length > 8, messages.join())
  assert.equal(
    messages.filter((message) => !program.includes(message)),
    [],
  )
})

test.run()
