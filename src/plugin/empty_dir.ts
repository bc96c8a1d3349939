/**
 * Tells whether a folder is an `emptyDir` of the pod that the process runs in. Containers of that
 * pod alone can reach such a folder, so a socket in it may be open to users of any number.
 *
 * @module
 */

import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'

/** The kubelet has the volumes of a pod below `pods/UID/volumes/PLUGIN/NAME`. */
const EMPTY_DIR = '/volumes/kubernetes.io~empty-dir/'

/** Reads the mounts of the process; where there is no list of them, nothing is an `emptyDir`. */
export async function emptyDirs(): Promise<(folder: string) => boolean> {
  const text = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '')
  return (folder) => isEmptyDir(text, folder)
}

/** @param mounts the text of a `mountinfo`: proc(5) */
export function isEmptyDir(mounts: string, folder: string): boolean {
  // The mount that counts is the last one at the point nearest to the folder.
  const points = mounts.split('\n').map((line) => {
    const [, , , root = '', point = ''] = line.split(' ')
    return { root, point }
  })
  const around = points.filter(({ point }) => isWithin(resolve(folder), point))
  const nearest = around.reduce(
    (best, each) => (each.point.length >= best.length ? each.point : best),
    '',
  )
  return around.findLast(({ point }) => point === nearest)?.root.includes(EMPTY_DIR) === true
}

function isWithin(folder: string, point: string): boolean {
  return point !== '' && (point === '/' || folder === point || folder.startsWith(`${point}/`))
}
