/** What the tools ask of a Kubernetes API server. @module */

export interface KubeRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Begins with `/`; may have a query. */
  readonly path: string
  /** Sent as JSON. */
  readonly body?: unknown
  readonly signal?: AbortSignal
}

export interface KubeAnswer {
  readonly status: number
  /** The JSON of the answer, or its text where it is none. */
  readonly body: unknown
  /** What `Retry-After` says. */
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
