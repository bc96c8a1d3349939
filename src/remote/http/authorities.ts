/**
 * The authorities that may vouch for a service, from a file or a folder of files. Files of a folder
 * that are no authorities are left out and reported. An incomplete certificate is refused, since it
 * may just be being written.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { KmsError, systemCodeOf, systemReasonOf } from '../../base/errors.ts'
import { readSmallBytes } from '../../base/small_file.ts'

interface AuthorityFiles {
  readonly caFile?: string | undefined
  readonly caDir?: string | undefined
  /** PEM from whoever has no file of it. */
  readonly text?: string | undefined
}

export interface Authorities {
  readonly pem: readonly string[]
  /** Files of the folder that count, by name. */
  readonly used: readonly string[]
  /** Files of the folder that do not, and why, in words. */
  readonly leftOut: ReadonlyMap<string, string>
}

/** The second is how OpenSSL finds authorities in a folder. */
const AUTHORITY_NAME = /\.(?:pem|crt|cer)$|^[\da-f]{8}\.\d+$/
export const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g

const NOT_WHOLE = 'it is not whole, as when it is being written'

/** @throws KmsError `unavailable`; whatever is wrong may be corrected while the plugin runs */
export async function readAuthorities(files: AuthorityFiles): Promise<Authorities> {
  const { caFile, caDir, text } = files
  const alone = [
    ...(text === undefined ? [] : [usable(text, 'The authority')]),
    ...(caFile === undefined ? [] : [await readAlone(caFile)]),
  ]
  const folder = caDir === undefined ? NOTHING : await readFolder(caDir)
  return { ...folder, pem: [...new Set([...alone, ...folder.pem])] }
}

const NOTHING: Authorities = { pem: [], used: [], leftOut: new Map() }

async function readAlone(path: string): Promise<string> {
  const bytes = await readSmallBytes(path).catch((cause: unknown) => {
    throw unusable(`Cannot read file "${path}" of tls.caFile: ${systemReasonOf(cause)}`, cause)
  })
  return usable(bytes, `File "${path}" of tls.caFile`)
}

function usable(content: Buffer | string, what: string): string {
  const fault = faultOf(content)
  if (fault !== undefined) throw unusable(`${what} cannot be used: ${fault}`)
  return content.toString()
}

async function readFolder(folder: string): Promise<Authorities> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw unusable(`Cannot read folder "${folder}" of tls.caDir: ${systemReasonOf(cause)}`, cause)
  })
  const pem: string[] = []
  const used: string[] = []
  const leftOut = new Map<string, string>()
  for (const name of names.filter((each) => AUTHORITY_NAME.test(each)).sort()) {
    const read = await contentOf(join(folder, name))
    const fault = read.fault ?? faultOf(read.content)
    if (fault === NOT_WHOLE) {
      throw unusable(`File "${join(folder, name)}" of tls.caDir cannot be used: ${fault}`)
    }
    if (fault === undefined) {
      pem.push(read.content.toString())
      used.push(name)
    } else leftOut.set(name, fault)
  }
  if (pem.length > 0) return { pem, used, leftOut }
  const why = leftOut.size === 0 ? '' : `: ${sayLeftOut(leftOut)}`
  throw unusable(`Folder "${folder}" of tls.caDir has no .pem or .crt file that can be used${why}`)
}

/** Each file with what is wrong with it. */
export function sayLeftOut(leftOut: Authorities['leftOut']): string {
  return [...leftOut].map(([name, fault]) => `"${name}": ${fault}`).join('; ')
}

async function contentOf(
  path: string,
): Promise<{ readonly content: Buffer; readonly fault: string | undefined }> {
  try {
    return { content: await readFile(path), fault: undefined }
  } catch (error) {
    const fault =
      UNREADABLE[systemCodeOf(error) ?? ''] ?? `it cannot be read: ${systemReasonOf(error)}`
    return { content: Buffer.alloc(0), fault }
  }
}

const UNREADABLE: Readonly<Record<string, string>> = {
  ENOENT: 'it is a link to nothing',
  ELOOP: 'it is a link to itself',
  EISDIR: 'it is a folder',
}

/** How every certificate in DER begins. */
const DER = /^0\u0082/
const AS_PEM = 'openssl x509 -in FILE -out FILE.pem'

/** Why these are no authorities, or cannot be used as such; nothing of them is quoted. */
function faultOf(content: Buffer | string): string | undefined {
  const text = content.toString('latin1')
  if (text.trim() === '') return 'it is empty'
  if (DER.test(text)) return `it is DER and not PEM: ${AS_PEM} -inform der`
  if (text.includes('BEGIN TRUSTED CERTIFICATE')) {
    return `it has a TRUSTED CERTIFICATE, which OpenSSL alone knows: ${AS_PEM}`
  }
  const begun = text.match(/-----BEGIN /g)?.length ?? 0
  if (/-----BEGIN [\w ]*PRIVATE KEY-----/.test(text)) {
    return 'it has a private key, which is no business of authorities'
  }
  if (!text.includes('-----BEGIN CERTIFICATE-----')) return 'it has no PEM certificates'
  return text.match(CERTIFICATE)?.length === begun ? undefined : NOT_WHOLE
}

function unusable(message: string, cause?: unknown): KmsError {
  return new KmsError(message, { code: 'unavailable', cause })
}
