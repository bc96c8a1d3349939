/** What the bundle's file of licences is made of. test/build/bundle.test.ts looks at the file. @module */

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { licenceTexts } from '../../build/licences.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

const test = suite('build/licences', () => ({}))

test('a package that has neither a file of its licence nor a notice is refused', async () => {
  const refusal = await rejection(licenceTexts(new Map([['node_modules/@bufbuild/cel', []]])))

  assert.match(String(refusal), '@bufbuild/cel has no text of its licence, Apache-2.0')
})

test('a licence deeper in a package counts where something of its folder is bundled', async () => {
  const file = 'node_modules/undici/lib/milo/simd.js'
  const inner = (await readFile(`${ROOT}node_modules/undici/lib/milo/LICENSE.md`, 'utf8')).trim()
  const textsOf = (files: string[]) => licenceTexts(new Map([['node_modules/undici', files]]))

  assert.ok((await textsOf([file])).includes(inner))
  assert.not.ok((await textsOf(['node_modules/undici/index.js'])).includes(inner))
})

test.run()
