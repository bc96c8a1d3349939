/**
 * Verifies Signature Version 4 with node:crypto, from AWS's description
 * (docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html), and so
 * without the package that the product signs with.
 *
 * @module
 */

import { createHash, createHmac } from 'node:crypto'

export interface SignedRequest {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface Authorization {
  readonly accessKeyId: string
  readonly day: string
  readonly region: string
  readonly service: string
  readonly signedHeaders: readonly string[]
  readonly signature: string
}

const FORM =
  /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([\w-]+)\/(\w+)\/aws4_request, ?SignedHeaders=([\w;-]+), ?Signature=([0-9a-f]{64})$/

export function parseAuthorization(header: string | undefined): Authorization | undefined {
  const found = FORM.exec(header ?? '')
  if (found === null) return undefined
  const [, accessKeyId = '', day = '', region = '', service = '', names = '', signature = ''] =
    found
  return { accessKeyId, day, region, service, signedHeaders: names.split(';'), signature }
}

/** Headers that AWS wants signed and that are not. */
export function unsignedHeaders({ headers }: SignedRequest, signed: readonly string[]): string[] {
  const wanted = Object.keys(headers).filter(
    (name) => name === 'host' || name === 'content-type' || name.startsWith('x-amz-'),
  )
  return wanted.filter((name) => !signed.includes(name))
}

export function signatureOf(
  request: SignedRequest,
  { day, region, service, signedHeaders }: Omit<Authorization, 'signature' | 'accessKeyId'>,
  secretAccessKey: string,
): string {
  const { method, path, headers, body } = request
  const lines = signedHeaders.map(
    (name) => `${name}:${(headers[name] ?? '').trim().replace(/ +/g, ' ')}\n`,
  )
  const [plain = '/', query = ''] = path.split('?')
  const canonical = [method, plain, query, lines.join(''), signedHeaders.join(';'), sha256(body)]
  const scope = `${day}/${region}/${service}/aws4_request`
  const date = headers['x-amz-date'] ?? ''
  const text = ['AWS4-HMAC-SHA256', date, scope, sha256(canonical.join('\n'))].join('\n')
  let key: Uint8Array = new TextEncoder().encode(`AWS4${secretAccessKey}`)
  for (const part of [day, region, service, 'aws4_request']) {
    key = createHmac('sha256', key).update(part).digest()
  }
  return createHmac('sha256', key).update(text).digest('hex')
}

/** Milliseconds since the epoch of `20150830T123600Z`. */
export function parseAmzDate(text: string | undefined): number {
  const [, y, m, d, h, min, s] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text ?? '')?.map(Number) ?? []
  return Date.UTC(y ?? Number.NaN, (m ?? 0) - 1, d, h, min, s)
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
