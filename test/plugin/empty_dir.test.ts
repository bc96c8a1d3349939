import * as assert from 'uvu/assert'
import { emptyDirs, isEmptyDir } from '../../src/plugin/empty_dir.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('plugin/empty_dir', () => ({}))

/** As a container sees its mounts: proc(5). */
const ROOT = '611 572 0:51 / / ro,relatime - overlay overlay ro'
const VOLUMES = '/var/lib/kubelet/pods/5c1d/volumes'
const EMPTY_DIR = `640 611 259:2 ${VOLUMES}/kubernetes.io~empty-dir/kms-plugin-socket /var/run/kmsplugin rw - xfs /dev/sda1 rw`
const HOST_PATH = '641 611 259:2 /var/run/kmsplugin /var/run/kmsplugin rw - xfs /dev/sda1 rw'
const SECRET = `642 611 0:44 / /var/run/kmsplugin/secret ro - tmpfs tmpfs ro`

for (const [what, lines, folder, expected] of [
  ['an emptyDir', [ROOT, EMPTY_DIR], '/var/run/kmsplugin', true],
  ['a folder in one', [ROOT, EMPTY_DIR], '/var/run/kmsplugin/sub', true],
  ['a folder whose name begins alike', [ROOT, EMPTY_DIR], '/var/run/kmsplugin2', false],
  ['a folder of the node', [ROOT, HOST_PATH], '/var/run/kmsplugin', false],
  [
    'a folder of the node over an emptyDir',
    [ROOT, EMPTY_DIR, HOST_PATH],
    '/var/run/kmsplugin',
    false,
  ],
  ['another mount in an emptyDir', [ROOT, EMPTY_DIR, SECRET], '/var/run/kmsplugin/secret', false],
  ['the root of the container', [ROOT], '/tmp', false],
  ['no list of mounts', [], '/var/run/kmsplugin', false],
] as const) {
  test(`${what} is ${expected ? '' : 'no '}emptyDir`, () => {
    assert.is(isEmptyDir(lines.join('\n'), folder), expected)
  })
}

test('the mounts of this process are read, and a folder of it is no emptyDir', async () => {
  await using folder = await tempFolder()
  const isOne = await emptyDirs()
  assert.not.ok(isOne(folder.path))
})

test.run()
