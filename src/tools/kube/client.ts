/**
 * Requests of the tools to a Kubernetes API server. Any status is an answer, and no message says
 * anything of what was sent or answered.
 *
 * @module
 */

import { retryAfterMs } from '../../base/attempts/retry_after.ts'
import type { Clock } from '../../base/clock.ts'
import type { EventSink } from '../../base/events.ts'
import { normalAddress } from '../../remote/http/address.ts'
import { type HttpAnswer, HttpClient } from '../../remote/http/client.ts'
import { Transport } from '../../remote/http/transport.ts'
import { readSecretFile } from '../../remote/secret_file.ts'
import type { KubeAccess } from './access.ts'

export interface KubeRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Begins with `/`, and may have a query. */
  readonly path: string
  /** Sent as JSON. */
  readonly body?: unknown
  /** `application/json` where absent. */
  readonly contentType?: string
  readonly accept?: string
  readonly signal?: AbortSignal
}

export interface KubeAnswer {
  readonly status: number
  /** The JSON of the answer, or its text where it is none. */
  readonly body: unknown
  /** The wait that `Retry-After` demands. */
  readonly retryAfterMs: number | undefined
  /** The API server's clock in milliseconds since the epoch, by its `Date` header. */
  readonly serverTime: number | undefined
}

export interface KubeClient extends AsyncDisposable {
  /** `https://host:port`, for messages. */
  readonly server: string
  /** @throws KmsError `unavailable`, or the reason of the signal; any status is an answer */
  send(request: KubeRequest): Promise<KubeAnswer>
}

const LIMIT_MS = 30_000

export function connectKube(
  access: KubeAccess,
  { clock, events }: { readonly clock: Clock; readonly events: EventSink },
): KubeClient {
  const { server, tls } = access
  const transport = new Transport({ provider: 'kube-apiserver', tls, clock, events })
  const http = new HttpClient(normalAddress(server), transport)
  return {
    server,
    async send({ method, path, body, contentType = 'application/json', accept, signal }) {
      const limit = AbortSignal.timeout(LIMIT_MS)
      const answer = await http.send({
        method,
        path,
        headers: {
          'content-type': contentType,
          accept: accept ?? 'application/json',
          'user-agent': 'trousseau',
          ...(await authorization(access)),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: signal === undefined ? limit : AbortSignal.any([limit, signal]),
        repeatable: method !== 'POST',
      })
      return answerOf(answer)
    },
    [Symbol.asyncDispose]: () => transport.close(),
  }
}

/** A token in a file is read for each request, because the kubelet replaces it. */
async function authorization({ token, tokenFile }: KubeAccess): Promise<Record<string, string>> {
  const secret = tokenFile === undefined ? token : await readSecretFile(tokenFile, 'the kubeconfig')
  return secret === undefined ? {} : { authorization: `Bearer ${secret}` }
}

function answerOf({ status, text, header, serviceTime }: HttpAnswer): KubeAnswer {
  return {
    status,
    body: jsonOrText(text),
    retryAfterMs: retryAfterMs(header('retry-after')),
    serverTime: serviceTime,
  }
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
