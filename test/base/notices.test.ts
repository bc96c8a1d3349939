import { readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { notifierOf } from '../../src/base/notices.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('base/notices', () => ({ events: new RecordedEvents() }))

test('notifierOf() gives each notice the same fields, and an error where there is one', ({
  events,
}) => {
  const notify = notifierOf(events, { provider: 'one' })
  const error = new Error('planted')
  notify('info', 'tls_files_changed', 'Changed')
  notify('warn', 'tls_files_refused', 'Refused', error)

  const type = 'notice'
  const fields = { provider: 'one' }
  assert.equal(events.all, [
    { type, level: 'info', what: 'tls_files_changed', message: 'Changed', fields },
    { type, level: 'warn', what: 'tls_files_refused', message: 'Refused', fields, error },
  ])
})

test('notifierOf() leaves out the fields of notices that have none', ({ events }) => {
  notifierOf(events, {})('warn', 'socket_vanished', 'Vanished')

  assert.equal(events.all, [
    { type: 'notice', level: 'warn', what: 'socket_vanished', message: 'Vanished' },
  ])
})

test('docs/reference.md lists every notice', async () => {
  const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), 'utf8')
  const [source, page] = await Promise.all([read('src/base/notices.ts'), read('docs/reference.md')])
  const [, fields = ''] = /interface NoticeFields \{([\s\S]*?)\n\}/.exec(source) ?? []
  const names = [...fields.matchAll(/^ {2}readonly (\w+):/gm)].map(([, name]) => name)

  assert.ok(names.length > 30)
  assert.equal(
    names.filter((name) => !page.includes(`\`${name}\``)),
    [],
  )
})

test.run()
