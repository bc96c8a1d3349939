/** Answers of the fake, good and bad, in the words of each service. @module */

export type Service = 'kms' | 'sts' | 'imds' | 'container'

/** An answer in place of the service's own. */
export interface Fault {
  readonly service: Service
  /** KMS action, STS action or path; any where absent. */
  readonly action?: string
  /** How often; for ever where absent. */
  times?: number
  readonly status: number
  readonly type?: string
  readonly message?: string
  /** Instead of a body made of `type` and `message`. */
  readonly body?: string
  /** Closes the connection without an answer. */
  readonly cut?: boolean
}

export interface FakeAnswer {
  readonly status: number
  readonly body: string
  readonly type: string
}

/** What a service refuses, under the name that it has there. */
export class Refusal extends Error {
  readonly type: string

  constructor(type: string, message = `The fake says ${type}`) {
    super(message)
    this.type = type
  }
}

export function json(value: object): FakeAnswer {
  return { status: 200, body: JSON.stringify(value), type: 'application/x-amz-json-1.1' }
}

export function plain(status: number, body: string): FakeAnswer {
  return { status, body, type: 'text/plain' }
}

export function faulty({
  service,
  status,
  type = 'InternalFailure',
  message = '',
  body,
}: Fault): FakeAnswer {
  if (body !== undefined) return plain(status, body)
  if (service === 'kms') return { ...json({ __type: type, message }), status }
  const text = `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>${type}</Code><Message>${message}</Message></Error></ErrorResponse>`
  return { status, body: text, type: 'text/xml' }
}

export function refused(service: Service, { type, message }: Refusal): FakeAnswer {
  const bad = ['ValidationError', 'InvalidIdentityToken'].includes(type)
  return faulty({ service, status: service === 'kms' || bad ? 400 : 403, type, message })
}

export function isoSeconds(ms = 0): string {
  return new Date(ms).toISOString().replace(/\.\d{3}/, '')
}
