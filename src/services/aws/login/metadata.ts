/**
 * Credentials of the machine or the pod, from services beside it. They are never asked through a
 * proxy, and only where the config or the environment names them.
 *
 * Instance metadata, version 2 alone:
 * docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html and
 * …/instance-metadata-security-credentials.html. Containers (ECS, EKS Pod Identity):
 * docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html.
 *
 * @module
 */

import { isIPv4 } from 'node:net'
import * as v from 'valibot'
import { withinLimit } from '../../../base/call.ts'
import type { Clock } from '../../../base/clock.ts'
import { KmsError, toKmsError } from '../../../base/errors.ts'
import {
  type HttpAnswer,
  HttpClient,
  type HttpRequest,
  parseAnswer,
} from '../../../remote/http/client.ts'
import type { Transport } from '../../../remote/http/transport.ts'
import { readSecretFile } from '../../../remote/secret_file.ts'
import type { Temporary } from './sts.ts'

export interface MetadataDeps {
  readonly clock: Clock
  /** Connections without a proxy. */
  readonly direct: Transport
}

const IMDS = 'http://169.254.169.254'
const ECS = 'http://169.254.170.2'
/** These services answer from this machine, so one that takes longer is not there. */
const LIMIT_MS = 1_000
const ROLES = '/latest/meta-data/iam/security-credentials/'
const TOKEN_SECONDS = '60'
/** Hosts for which http is safe: this machine and the two addresses of container credentials. */
const CONTAINER_HOSTS = new Set([
  'localhost',
  '[::1]',
  '169.254.170.2',
  '169.254.170.23',
  '[fd00:ec2::23]',
])

/** The characters that a header can carry. */
const word = v.pipe(v.string(), v.regex(/^[\x21-\x7e]+$/))
const fields = {
  AccessKeyId: word,
  SecretAccessKey: word,
  Token: word,
  Expiration: v.pipe(v.string(), v.isoTimestamp()),
}
const containerAnswer = v.object(fields)
const imdsAnswer = v.object({ ...fields, Code: v.literal('Success') })

export const imdsFields = {
  endpoint: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^http:\/\/(?:\d+\.\d+\.\d+\.\d+|\[[0-9a-f:]+\])(?::\d+)?$/, 'http://ADDRESS'),
      v.description('http://[fd00:ec2::254] on instances with IPv6 alone'),
    ),
    IMDS,
  ),
  role: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^[\w+=,.@-]+$/, 'letters, digits and "+=,.@-_"'),
      v.description('Role of the instance profile; asked for where absent'),
    ),
  ),
}

export async function instanceCredentials(
  { endpoint, role }: { readonly endpoint: string; readonly role?: string | undefined },
  deps: MetadataDeps,
): Promise<Temporary> {
  const ask = asker(endpoint, deps, 'Instance metadata')
  const token = await ask({
    method: 'PUT',
    path: '/latest/api/token',
    headers: { 'x-aws-ec2-metadata-token-ttl-seconds': TOKEN_SECONDS },
  }).catch((cause: unknown) => {
    if (!(cause instanceof KmsError) || cause.code === 'denied') throw cause
    const hint = 'in a pod use hostNetwork, or raise the hop limit of the instance to 2'
    throw new KmsError(`${cause.message}; ${hint}`, { code: cause.code, cause })
  })
  const headers = { 'x-aws-ec2-metadata-token': token.text }
  const name = role ?? (await ask({ method: 'GET', path: ROLES, headers })).text.split('\n')[0]
  const answer = await ask({ method: 'GET', path: `${ROLES}${name?.trim()}`, headers })
  return temporaryOf(parseAnswer(answer, imdsAnswer, 'Instance metadata'), answer)
}

interface ContainerPlace {
  readonly uri: string
  /** File whose content is sent as `Authorization`, read for each request. */
  readonly tokenFile?: string | undefined
  /** The same value from the environment, as ECS provides it. */
  readonly token?: string | undefined
}

/** @throws KmsError `denied` for an address that credentials must not come from */
export async function containerCredentials(
  { uri, tokenFile, token }: ContainerPlace,
  deps: MetadataDeps,
): Promise<Temporary> {
  const url = containerUrl(uri)
  const given = tokenFile === undefined ? token : await readSecretFile(tokenFile, 'credentials')
  if (given !== undefined && /[\r\n]/.test(given)) throw refused('token holds a line break')
  const answer = await asker(
    url.origin,
    deps,
    'Container credentials',
  )({
    method: 'GET',
    path: `${url.pathname}${url.search}`,
    headers: {
      accept: 'application/json',
      ...(given === undefined ? {} : { authorization: given }),
    },
  })
  return temporaryOf(parseAnswer(answer, containerAnswer, 'Container credentials'), answer)
}

function containerUrl(uri: string): URL {
  const text = uri.startsWith('/') ? `${ECS}${uri}` : uri
  if (!URL.canParse(text)) throw refused('URI is none')
  const url = new URL(text)
  const near =
    CONTAINER_HOSTS.has(url.hostname) || (isIPv4(url.hostname) && url.hostname.startsWith('127.'))
  if (url.protocol === 'https:' || (url.protocol === 'http:' && near)) return url
  throw refused(
    'URI must be https, or http to this machine, 169.254.170.2, 169.254.170.23 or [fd00:ec2::23]',
  )
}

type Ask = Pick<HttpRequest, 'method' | 'path' | 'headers'>

function asker(address: string, { clock, direct }: MetadataDeps, what: string) {
  const client = new HttpClient(address, direct)
  return async (ask: Ask): Promise<HttpAnswer> => {
    // The path of container credentials is as good as a password on the node, so it is not shown.
    const shownPath = what.toLowerCase()
    const answer = await withinLimit(clock, LIMIT_MS, ({ signal }) =>
      client.send({ ...ask, shownPath, signal }),
    ).catch((cause: unknown) => {
      const { code, message } = toKmsError(cause)
      if (code !== 'timeout') throw cause
      throw new KmsError(`${what} at ${address}: ${message}`, { code: 'unavailable', cause })
    })
    if (answer.status === 200) return answer
    throw statusError(answer, what)
  }
}

function statusError({ status, address }: HttpAnswer, what: string): KmsError {
  const says = `${what} at ${address} answered ${status}`
  if (status === 404) return refused('role is not attached to this instance', says)
  if (status === 401 || status === 403) return refused('are refused or turned off', says)
  const code = status === 429 ? 'throttled' : 'unavailable'
  return new KmsError(`${says}: it does not serve now`, { code })
}

function refused(why: string, says = 'No credentials'): KmsError {
  return new KmsError(`${says}: the ${why}`, { code: 'denied' })
}

function temporaryOf(
  { AccessKeyId, SecretAccessKey, Token, Expiration }: v.InferOutput<typeof containerAnswer>,
  { serviceTime }: HttpAnswer,
): Temporary {
  return {
    accessKeyId: AccessKeyId,
    secretAccessKey: SecretAccessKey,
    sessionToken: Token,
    expiration: Expiration,
    serviceTime,
  }
}
