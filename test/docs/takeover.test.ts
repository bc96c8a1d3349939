/** Every config in docs/takeover.md is accepted by the program. @module */

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { parse } from 'yaml'
import { parseConfig } from '../../src/config/load.ts'
import { formsOpenedBy, PROVIDER_TYPES } from '../../src/services/registry.ts'
import { FOREIGN_FORMS, FORMS } from '../../src/takeover/forms.ts'
import { suite } from '../_lib/uvu.ts'

const PAGE = fileURLToPath(new URL('../../docs/takeover.md', import.meta.url))

const block = v.object({ kind: v.string() })
const config = v.looseObject({
  socket: v.object({ path: v.string() }),
  statusVersion: v.optional(v.string(), 'v2'),
  providers: v.array(
    v.looseObject({
      type: v.picklist(PROVIDER_TYPES),
      reads: v.array(v.picklist(FOREIGN_FORMS)),
    }),
  ),
})
const kms = v.object({
  kms: v.strictObject({
    apiVersion: v.picklist(['v1', 'v2']),
    name: v.string(),
    endpoint: v.pipe(v.string(), v.startsWith('unix:///')),
    timeout: v.string(),
  }),
})
const encryption = v.object({
  resources: v.array(
    v.object({ providers: v.array(v.union([kms, v.strictObject({ identity: v.object({}) })])) }),
  ),
})

const test = suite('docs/takeover', async () => {
  const text = await readFile(PAGE, 'utf8')
  const blocks = [...text.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, yaml = '']): unknown =>
    parse(yaml, { uniqueKeys: true }),
  )
  const configs = blocks.filter((one) => v.parse(block, one).kind === 'TrousseauConfig')
  const others = blocks.filter((one) => !configs.includes(one))
  return { text, configs, others }
})

test('every config is taken', ({ configs }) => {
  for (const one of configs) parseConfig(one, PAGE)
})

test('every form has a config, which reads it with a provider that opens it', ({ configs }) => {
  const shown = configs.flatMap((one) => v.parse(config, one).providers)

  assert.equal(
    shown.flatMap(({ reads }) => reads),
    [...FOREIGN_FORMS],
  )
  for (const { type, reads } of shown) {
    assert.ok(reads.every((form) => formsOpenedBy(type).includes(form)))
  }
})

test('the overview says of every form what the table of forms says', ({ text }) => {
  for (const form of FOREIGN_FORMS) {
    const { types, apis } = rowOf(text, form)

    const openers = PROVIDER_TYPES.filter((type) => formsOpenedBy(type).includes(form))
    assert.is(types, openers.map((type) => `\`${type}\``).join(', '), form)
    assert.is(apis, FORMS[form].apis.map((api) => API_NAMES[api]).join(', '), form)
  }
})

test('sockets and versions of the overview are those of the configs', ({ text, configs }) => {
  for (const one of configs) {
    const { socket, statusVersion, providers } = v.parse(config, one)
    const [form = ''] = providers.flatMap(({ reads }) => reads)
    const { version, path } = rowOf(text, form)

    if (path.startsWith('`')) assert.is(path, `\`${socket.path}\``, form)
    if (version.startsWith('`')) assert.is(version, `\`${statusVersion}\``, form)
  }
})

test('every EncryptionConfiguration has names that differ and sockets of a config', ({
  others,
  configs,
}) => {
  const paths = configs.map((one) => v.parse(config, one).socket.path)
  for (const one of others) {
    const entries = v
      .parse(encryption, one)
      .resources.flatMap(({ providers }) => providers)
      .flatMap((provider) => ('kms' in provider ? [provider.kms] : []))

    assert.is(new Set(entries.map(({ name }) => name)).size, entries.length)
    assert.ok(entries.every(({ endpoint }) => paths.includes(endpoint.replace('unix://', ''))))
  }
})

test('every link on the page leads to one of its headings', ({ text }) => {
  const headings = [...text.matchAll(/^##+ (.*)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\w -]/g, '')
      .replaceAll(' ', '-'),
  )
  for (const [, anchor = ''] of text.matchAll(/\]\(#([^)]*)\)/g)) {
    assert.ok(headings.includes(anchor), anchor)
  }
})

const API_NAMES = { v1beta1: 'v1', v2: 'v2' } as const

function rowOf(text: string, form: string) {
  const row = text.split('\n').find((line) => line.includes(`| \`${form}\` |`)) ?? ''
  const [, , , types = '', apis = '', version = '', path = ''] = row
    .split('|')
    .map((cell) => cell.trim())
  return { types, apis, version, path }
}

/** The types that the config's schema has. */

test.run()
