/** What tests of a release share: a commit, a key, and openssl's judgement. @module */

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { TempFolder } from '../temp_folder.ts'

const run = promisify(execFile)

/** Commits everything that differs, as nobody in particular. */
export async function commitAll(root: string): Promise<void> {
  const who = ['user.name=test', 'user.email=test@example.org', 'commit.gpgSign=false']
  const settings = who.flatMap((setting) => ['-c', setting])
  await run('git', ['add', '--all'], { cwd: root })
  await run('git', [...settings, 'commit', '--quiet', '--message', 'test'], { cwd: root })
}

/** Files of both halves. */
export interface SigningKey {
  readonly keyFile: string
  readonly publicKeyFile: string
}

/** As docs/release.md makes it. */
export async function makeSigningKey(folder: TempFolder): Promise<SigningKey> {
  const [keyFile, publicKeyFile] = [folder.at('release.key'), folder.at('release.pub')]
  const curve = ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256']
  await run('openssl', ['genpkey', ...curve, '-out', keyFile])
  await run('openssl', ['pkey', '-in', keyFile, '-pubout', '-out', publicKeyFile])
  return { keyFile, publicKeyFile }
}

/** Rejects unless `SHA256SUMS` of the release is what was signed. */
export async function verifyWithOpenssl(release: string, publicKeyFile: string): Promise<void> {
  const verify = `openssl dgst -sha256 -verify "$1" -signature /dev/stdin SHA256SUMS`
  const line = `base64 -d SHA256SUMS.sig | ${verify}`
  await run('sh', ['-c', line, 'sh', publicKeyFile], { cwd: release })
}
