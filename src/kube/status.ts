/** What an API server's answers mean when they are no success. @module */

import * as v from 'valibot'
import { KmsError, type KmsErrorCode } from '../kms/errors.ts'
import type { KubeAnswer, KubeClient, KubeRequest } from './client.ts'

const MEANINGS: Readonly<Record<number, readonly [code: KmsErrorCode, why: string]>> = {
  401: [
    'denied',
    'it does not know this token or certificate: is it of this cluster, and not expired?',
  ],
  403: ['denied', 'this user may not do that: docs/rewriting.md has the rights that are needed'],
  404: ['request_invalid', 'there is no such thing'],
  429: ['throttled', 'it has too much to do'],
}

/**
 * The answer as `schema` reads it.
 *
 * @throws KmsError for any status but one of success
 */
export async function succeeded<T extends v.GenericSchema>(
  kube: KubeClient,
  request: KubeRequest,
  schema: T,
): Promise<v.InferOutput<T>> {
  return readAnswer(kube, request, await kube.send(request), schema)
}

/** @throws KmsError for any status but one of success */
export function readAnswer<T extends v.GenericSchema>(
  kube: KubeClient,
  request: KubeRequest,
  answer: KubeAnswer,
  schema: T,
): v.InferOutput<T> {
  if (answer.status >= 300) throw refusalOf(kube, request, answer)
  const result = v.safeParse(schema, answer.body)
  if (result.success) return result.output
  const at = result.issues.map((issue) => v.getDotPath(issue) ?? '(root)').join(', ')
  throw new KmsError(`${saying(kube, request)} answered an unexpected body at ${at}`, {
    code: 'protocol',
  })
}

/** The API server's own message may quote what was sent: only its status is told. */
export function refusalOf(
  kube: KubeClient,
  request: KubeRequest,
  { status }: KubeAnswer,
): KmsError {
  const [code, why] = MEANINGS[status] ?? ['unavailable', 'its log says why']
  return new KmsError(`${saying(kube, request)} answered ${status}: ${why}`, { code })
}

function saying({ server }: KubeClient, { method, path }: KubeRequest): string {
  return `${method} ${path.replace(/\?.*/s, '')} at ${server}`
}
