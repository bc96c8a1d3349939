/**
 * The token of another issuer that is exchanged for one of Google's. It comes from a file or a URL,
 * as bare text or in a field of JSON (https://google.aip.dev/auth/4117, "credential_source").
 *
 * @module
 */

import * as v from 'valibot'
import { KmsError, systemReasonOf } from '../../../base/errors.ts'
import type { Call } from '../../../base/provider.ts'
import { readSmallFile } from '../../../base/small_file.ts'
import { HttpClient } from '../../../remote/http/client.ts'
import { answerJson } from '../../../remote/http/json.ts'
import { absolutePath } from '../../../remote/login_fields.ts'
import type { GoogleDeps } from './source.ts'

/** Only loopback and link-local addresses may be asked without TLS. */
const NEAR =
  /^http:\/\/(?:localhost|127\.[\d.]+|169\.254\.[\d.]+|\[::1\]|\[fe80:[\da-f:]+\])(?=[:/])/

const url = v.pipe(
  v.string(),
  v.check((text) => URL.canParse(text) && (text.startsWith('https://') || NEAR.test(text))),
)
const format = v.optional(
  v.variant('type', [
    v.object({ type: v.literal('text') }),
    v.object({
      type: v.literal('json'),
      subject_token_field_name: v.pipe(v.string(), v.nonEmpty()),
    }),
  ]),
  { type: 'text' },
)
type Format = v.InferOutput<typeof format>

export const subjectSource = v.union([
  v.object({ file: absolutePath, format }),
  v.object({ url, headers: v.optional(v.record(v.string(), v.string()), {}), format }),
])
type SubjectSource = v.InferOutput<typeof subjectSource>
type FileSource = Extract<SubjectSource, { file: string }>
type UrlSource = Extract<SubjectSource, { url: string }>

const MAX_CHARACTERS = 65_536

/** @throws KmsError `denied`, since there is no login without the subject token */
export async function readSubject({ file, format: as }: FileSource): Promise<string> {
  const place = `File "${file}" of credential_source`
  const text = await readSmallFile(file).catch((cause: unknown) => {
    const message = `${place} cannot be read: ${systemReasonOf(cause)}`
    throw new KmsError(message, { code: 'denied', cause })
  })
  return subjectIn(text, as, place)
}

/**
 * An address nearby is asked without the proxy, which would otherwise read the token.
 *
 * @throws KmsError
 */
export async function fetchedSubject(
  { url: text, headers, format: as }: UrlSource,
  { transport, direct }: GoogleDeps,
  { signal }: Call,
): Promise<string> {
  const { origin, pathname, search } = new URL(text)
  const client = new HttpClient(origin, origin.startsWith('https:') ? transport : direct)
  const answer = await client.send({ method: 'GET', path: pathname + search, headers, signal })
  const place = `URL of credential_source at ${origin}`
  if (answer.status === 200) return subjectIn(answer.text, as, place)
  throw new KmsError(`${place} answered ${answer.status}: no subject token there`, {
    code: 'unavailable',
  })
}

function subjectIn(text: string, as: Format, place: string): string {
  const found = as.type === 'text' ? text : fieldOf(text, as.subject_token_field_name)
  const subject = found?.trim() ?? ''
  if (/^[\x21-\x7e]+$/.test(subject) && subject.length <= MAX_CHARACTERS) return subject
  const wanted =
    as.type === 'text' ? 'a bare token' : `JSON with a token in "${as.subject_token_field_name}"`
  throw new KmsError(`${place} holds no subject token: wanted ${wanted}, as format says`, {
    code: 'denied',
  })
}

function fieldOf(text: string, field: string): string | undefined {
  const schema = v.pipe(answerJson, v.object({ [field]: v.string() }))
  const result = v.safeParse(schema, text)
  return result.success ? result.output[field] : undefined
}
