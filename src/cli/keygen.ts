/** `trousseau keygen`: key files of the `local` provider. @module */

import { resolve } from 'node:path'
import { addKeyVersion, createKeyFile } from '../providers/local_key_file.ts'
import type { Io } from './io.ts'
import { EXIT } from './output.ts'

export interface KeygenOptions {
  readonly file: string
  readonly addVersion: boolean
}

/** @throws KmsError when the file is there already, or is not as it must be to add a version */
export async function keygen({ file, addVersion }: KeygenOptions, io: Io): Promise<number> {
  const path = resolve(file)
  const now = () => Date.now()
  const { id, keys } = addVersion ? await addKeyVersion(path, now) : await createKeyFile(path, now)
  io.out(`${addVersion ? 'Added a version to' : 'Made'} ${path}\n`)
  io.out(`  id        ${id}\n  versions  ${keys.length}\n`)
  io.out(
    'Copy the file to every control-plane node (mode 0600), and to a safe place away from the etcd backups:\n' +
      'whoever loses it loses every Secret encrypted with it.\n',
  )
  return EXIT.ok
}
