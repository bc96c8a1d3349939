/** `trousseau keygen` makes key files of the `local` provider. @module */

import { resolve } from 'node:path'
import type { Io } from '../../console/io.ts'
import { EXIT, json } from '../../console/output.ts'
import { addKeyVersion, createKeyFile } from '../../services/local/key_file.ts'

interface KeygenOptions {
  readonly file: string
  readonly addVersion: boolean
  readonly json: boolean
}

/** @throws KmsError when the file exists, or cannot get a further version */
export async function keygen(options: KeygenOptions, io: Io): Promise<number> {
  const { file, addVersion } = options
  const path = resolve(file)
  const now = () => Date.now()
  const { id, keys } = addVersion ? await addKeyVersion(path, now) : await createKeyFile(path, now)
  if (options.json) {
    io.out(json({ file: path, id, versions: keys.length, added: addVersion }))
    return EXIT.ok
  }
  io.out(`${addVersion ? 'Added a version to' : 'Made'} ${path}\n`)
  io.out(`  id        ${id}\n  versions  ${keys.length}\n`)
  io.out(
    'Copy the file to every control-plane node (mode 0600), and to a safe place away from the etcd backups:\n' +
      'whoever loses it loses every Secret encrypted with it.\n',
  )
  return EXIT.ok
}
