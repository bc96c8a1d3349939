/** Answers in Google's words. @module */

/** Stands in every error, so that a test can tell whether Google's words got out. */
export const GOOGLES_WORDS = 'words-of-google'

export interface Reply {
  readonly status: number
  readonly body: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export function ok(body: object, headers: Readonly<Record<string, string>> = {}): Reply {
  return { status: 200, body, headers }
}

/** https://cloud.google.com/apis/design/errors */
export function failure(
  code: number,
  status: string,
  message: string,
  details: readonly object[] = [],
): Reply {
  const words = `${message} (${GOOGLES_WORDS})`
  const all = details.length === 0 ? {} : { details }
  return { status: code, body: { error: { code, message: words, status, ...all } } }
}

export function invalid(message: string): Reply {
  return failure(400, 'INVALID_ARGUMENT', message)
}

export function errorInfo(reason: string): object {
  const type = 'type.googleapis.com/google.rpc.ErrorInfo'
  return { '@type': type, reason, domain: 'googleapis.com', metadata: { service: 'fake' } }
}

export function preconditionFailure(type: string, subject: string): object {
  const violations = [{ type, subject }]
  return { '@type': 'type.googleapis.com/google.rpc.PreconditionFailure', violations }
}

/** RFC 6749, section 5.2, as the Security Token Service answers. */
export function oauthFailure(status: number, error: string): Reply {
  return { status, body: { error, error_description: `${error} (${GOOGLES_WORDS})` } }
}

/** What Google's front end answers for paths that it does not know, and proxies for many others. */
export function html(status: number): Reply {
  return { status, body: `<!DOCTYPE html><title>Error ${status} ${GOOGLES_WORDS}</title>` }
}
