/** `trousseau keygen` makes key files of the `local` provider, and those of a signer. @module */

import { resolve } from 'node:path'
import type { SigningAlgorithm } from '../../base/signing_key.ts'
import type { Io } from '../../console/io.ts'
import { EXIT, json } from '../../console/output.ts'
import { addKeyVersion, createKeyFile } from '../../services/local/key_file.ts'

export interface KeygenOptions {
  readonly file: string
  readonly addVersion: boolean
  /** Makes the key of a signer, for this algorithm; where absent, one of the `local` provider. */
  readonly signer?: SigningAlgorithm | undefined
  readonly json: boolean
}

const OF_PROVIDER = `Copy the file to every control-plane node (mode 0600), and to a safe place away from the etcd backups:
whoever loses it loses every Secret encrypted with it.
`
const OF_SIGNER = `Copy the file to every control-plane node (mode 0600): whoever has it can be any ServiceAccount.
`

/** @throws KmsError when the file exists, or cannot get a further version */
export async function keygen(options: KeygenOptions, io: Io): Promise<number> {
  const { file, addVersion, signer } = options
  const path = resolve(file)
  const now = () => Date.now()
  const signing =
    signer === undefined ? undefined : await import('../../services/local/signing_key.ts')
  const make = addVersion ? addKeyVersion : createKeyFile
  const made = await make(path, now, signing?.signingKeys(signer))
  const { id, keys } = made
  const publicKeys = signing?.publicPems(made)
  if (options.json) {
    io.out(json({ file: path, id, versions: keys.length, added: addVersion, publicKeys }))
    return EXIT.ok
  }
  io.out(`${addVersion ? 'Added a version to' : 'Made'} ${path}\n`)
  io.out(`  id        ${id}\n  versions  ${keys.length}\n`)
  io.out(signer === undefined ? OF_PROVIDER : OF_SIGNER)
  return EXIT.ok
}
