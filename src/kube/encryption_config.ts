/** The EncryptionConfiguration of an API server, as far as a tool must understand it. @module */

import { readFile } from 'node:fs/promises'
import * as v from 'valibot'
import { parse } from 'yaml'
import { KmsError, systemCodeOf } from '../kms/errors.ts'
import { maybe } from './go_json.ts'

const kms = v.looseObject({
  apiVersion: maybe(v.string()),
  name: v.string(),
  endpoint: v.string(),
  timeout: maybe(v.string()),
  cachesize: maybe(v.number()),
})
const schema = v.looseObject({
  apiVersion: v.string(),
  kind: v.literal('EncryptionConfiguration'),
  resources: v.pipe(
    v.array(
      v.looseObject({
        resources: v.array(v.string()),
        providers: v.array(v.looseObject({ kms: maybe(kms), identity: maybe(v.looseObject({})) })),
      }),
    ),
    v.minLength(1),
  ),
})
export type EncryptionConfig = v.InferOutput<typeof schema>
export type KmsEntry = v.InferOutput<typeof kms>

/** Names of the resources that are encrypted when they are written, in the file's words. */
export function encryptedResources({ resources }: EncryptionConfig): string[] {
  return resources
    .filter(({ providers: [first] }) => first?.identity === undefined)
    .flatMap((rule) => rule.resources)
}

/** @throws KmsError `request_invalid`, which never quotes the file: it may hold keys */
export async function readEncryptionConfig(path: string): Promise<EncryptionConfig> {
  let content: unknown
  try {
    content = parse(await readFile(path, 'utf8'), { prettyErrors: false })
  } catch (cause) {
    const why = systemCodeOf(cause)
    throw refused(path, why === undefined ? 'is not YAML' : `cannot be read (${why})`, cause)
  }
  const result = v.safeParse(schema, content)
  if (result.success) return result.output
  const at = result.issues.map((issue) => v.getDotPath(issue) ?? '(root)').join(', ')
  throw refused(path, `is not an EncryptionConfiguration, at ${at}`)
}

function refused(path: string, why: string, cause?: unknown): KmsError {
  return new KmsError(`File ${path} ${why}`, { code: 'request_invalid', cause })
}
