/** What an API server's answers mean when they are not a success. @module */

import * as v from 'valibot'
import { KmsError, type KmsErrorCode } from '../../base/errors.ts'
import { type Blamed, blamedIn } from './admission.ts'
import type { KubeAnswer, KubeClient, KubeRequest } from './client.ts'

type StatusMeaning = readonly [code: KmsErrorCode, why: string]

const MEANINGS: Readonly<Record<number, StatusMeaning>> = {
  401: [
    'denied',
    'it does not know this token or certificate: is it of this cluster, and not expired?',
  ],
  403: ['denied', 'this user may not do that: docs/rewriting.md has the rights that are needed'],
  404: ['request_invalid', 'there is no such thing'],
  410: ['unavailable', 'it forgets each time where its list was: try again when it has less to do'],
  422: [
    'request_invalid',
    'the object is stored in a form that it takes no longer: change the object so that it does',
  ],
  429: ['throttled', 'it has too much to do'],
  503: ['unavailable', 'it, or another server that it asks for this API, does not serve now'],
}

/** An answer that is not a success. */
export class KubeStatusError extends KmsError {
  readonly status: number
  /** Who prevented the object from being written, where the answer says so. */
  readonly blamed: Blamed | undefined

  constructor(asked: string, { status, body }: KubeAnswer) {
    const blamed = blamedIn(body)
    const [code, why] =
      blamed === undefined
        ? (MEANINGS[status] ?? (['unavailable', 'its log says why'] as const))
        : meaningOf(blamed)
    super(`${asked} answered ${status}: ${why}`, { code })
    this.status = status
    this.blamed = blamed
  }
}

function meaningOf({ who, dead }: Blamed): StatusMeaning {
  return dead
    ? ['unavailable', `${who} does not answer it as it should: fix that, or remove it for now`]
    : ['denied', `${who} does not allow it: let it pass what changes nothing`]
}

/**
 * The answer as `schema` reads it.
 *
 * @throws KmsError for any status that is not a success
 */
export async function succeeded<T extends v.GenericSchema>(
  kube: KubeClient,
  request: KubeRequest,
  schema: T,
): Promise<v.InferOutput<T>> {
  return readAnswer(kube, request, await kube.send(request), schema)
}

/** @throws KmsError for any status that is not a success */
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

/**
 * The API server's own message may quote what was sent, so only its status is passed on, and who is
 * to blame.
 */
export function refusalOf(
  kube: KubeClient,
  request: KubeRequest,
  answer: KubeAnswer,
): KubeStatusError {
  return new KubeStatusError(saying(kube, request), answer)
}

function saying({ server }: KubeClient, { method, path }: KubeRequest): string {
  return `${method} ${path.replace(/\?.*/s, '')} at ${server}`
}
