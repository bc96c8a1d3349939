/** Every config on every page is accepted by the program. @module */

import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { parseConfig } from '../../src/config/load.ts'
import { suite } from '../_lib/uvu.ts'
import { allPages } from './all_pages.ts'

const test = suite('docs/configs', () => ({}))

test('every whole config on a page is taken', async () => {
  let seen = 0
  for (const { path, text } of await allPages()) {
    for (const [, yaml = ''] of text.matchAll(/^```yaml\n(.*?)^```$/gms)) {
      if (!/^kind: TrousseauConfig$/m.test(yaml)) continue
      parseConfig(parse(yaml, { uniqueKeys: true }), path)
      seen += 1
    }
  }
  assert.ok(seen >= 15, `${seen} configs`)
})

test.run()
