/** The manifest of a static pod that cannot be used. @module */

import { writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { toKmsError } from '../../../src/base/errors.ts'
import { readStaticPod } from '../../../src/tools/kube/static_pod.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { rejection, suite } from '../../_lib/uvu.ts'

const test = suite('tools/kube/static_pod', () => ({}))

test('readStaticPod() tells a file that is no YAML from one that cannot be read', async () => {
  await using folder = await tempFolder()
  const path = folder.at('pod.yaml')
  const absent = toKmsError(await rejection(readStaticPod(path)))
  await writeFile(path, 'a: [1\nb: 2\n')

  const broken = toKmsError(await rejection(readStaticPod(path)))

  assert.match(absent.message, `File ${path} cannot be read: `)
  assert.is(broken.message, `File ${path} is not YAML`)
})

test.run()
