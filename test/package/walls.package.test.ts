/** What code inside the container of the image can do: docs/security-review.md. @module */

import { writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { startContainerd } from '../_lib/package/containerd.ts'
import { containerCommand, importImage } from '../_lib/package/plugin_container.ts'
import { probe } from '../_lib/package/probe.ts'
import { run } from '../_lib/package/shipped.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('package/walls', () => ({}), 400_000)

test('from inside, no other file is read or written, no process started, no native code loaded, no right gained', async () => {
  await using folder = await tempFolder()
  await using mounted = await tempFolder()
  await using elsewhere = await tempFolder()
  await writeFile(elsewhere.at('secret'), 'of another program', { mode: 0o644 })
  const { binary } = await probe('wall_probe.mjs', mounted.path)
  await using containerd = await startContainerd(folder)
  await importImage(containerd, 'image-zstd')
  const hardened = containerCommand(containerd, mounted.path).slice(0, -1)

  const [command = '', ...args] = [...hardened, binary, mounted.path, elsewhere.at('secret')]
  const { stdout } = await run(command, args)

  assert.equal(JSON.parse(stdout), {
    'write in a mounted folder': 'allowed',
    'read a file of the node': 'ENOENT',
    'read the passwords of the node': 'ENOENT',
    'open the memory of the node': 'ENOENT',
    'read the log of the kernel': 'ENOENT',
    'write over the program': 'EROFS',
    'write over an authority': 'EACCES',
    'write beside the libraries': 'EROFS',
    'change the kernel': 'EROFS',
    'become root': 'EPERM',
    'give a file to root': 'EPERM',
    'start a process': 'ERR_ACCESS_DENIED',
    'become another program': 'ERR_ACCESS_DENIED',
    'load native code': 'ERR_DLOPEN_DISABLED',
    'see other processes': 'NONE',
    // Once Node can narrow its model, the plugin can too: docs/security-review.md.
    'read what was dropped': 'allowed',
  })
})

test.run()
