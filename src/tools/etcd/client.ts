/**
 * Calls to the members of an etcd cluster, with bytes in and bytes out; it does not know what the
 * bytes mean. It stays with the first member that answers, and goes on to the next one when that
 * member goes away.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { isIP } from 'node:net'
import {
  checkServerIdentity,
  createSecureContext,
  type PeerCertificate,
  rootCertificates,
} from 'node:tls'
import {
  type ChannelCredentials,
  Client,
  type ClientOptions,
  credentials,
  type ServiceError,
  status,
} from '@grpc/grpc-js'
import '../../grpc/deno_sessions.ts'
import { KmsError } from '../../base/errors.ts'
import { plainDetails } from '../../grpc/plain_details.ts'
import { presentedAt } from '../../remote/http/presented.ts'
import type { EtcdRefusal } from './range.ts'

/** Certificates and keys, each as PEM. */
export interface EtcdTls {
  /** Authorities; those of the system where there are none. */
  readonly ca: Buffer | undefined
  readonly client: { readonly cert: Buffer; readonly key: Buffer } | undefined
  /**
   * The name that the servers' certificates must have, instead of the host that is connected to.
   */
  readonly serverName: string | undefined
}

interface EtcdClientOptions {
  /** `https://HOST:PORT`, or `http://HOST:PORT`, which is not encrypted. */
  readonly endpoints: readonly string[]
  readonly tls: EtcdTls
  /** The time limit of each call at each member. */
  readonly timeoutMs: number
  readonly maxMessageBytes: number
}

interface EtcdClient extends AsyncDisposable {
  /** @throws KmsError `unavailable` where no member answers */
  call(path: string, request: Uint8Array): Promise<Uint8Array | EtcdRefusal>
}

interface VerifyOptions {
  readonly checkServerIdentity?: (host: string, certificate: PeerCertificate) => Error | undefined
}

interface Member {
  readonly endpoint: string
  readonly client: Client
}

const AWAY: readonly number[] = [status.UNAVAILABLE, status.DEADLINE_EXCEEDED]

const UNTRUSTED = 'its certificate is signed by none of the authorities in --cacert'

/**
 * Messages of OpenSSL, Node and grpc-js, each with what it means and what an operator can do. The
 * first one that matches counts.
 */
const REASONS: readonly (readonly [RegExp, string])[] = [
  [/ECONNREFUSED/, 'nobody listens there'],
  [/ENOTFOUND|EAI_AGAIN|resolution failed/, 'there is no such host'],
  [/has expired|CERT_HAS_EXPIRED|not yet valid/, 'its certificate is not valid at this time'],
  [/self-signed|unable to (?:get|verify)|UNABLE_TO|SELF_SIGNED/, UNTRUSTED],
  [
    /certificate purpose|INVALID_PURPOSE/,
    'its certificate is not for servers: have it issued with the extended key usage serverAuth',
  ],
  [
    /too weak|too small/,
    'its certificate, or one above it, is signed with SHA-1 or has a short key: have it issued anew',
  ],
  [
    /does not match certificate|altnames|ALTNAME/,
    'its certificate is for another name; --server-name says for which',
  ],
  [
    /alert.*certificate|alert number (?:42|46|48|116)|alert unknown ca/i,
    'it wants a client certificate of an authority that it knows, --cert and --key',
  ],
  [/no leader|leader changed/, 'too few members are up, so there is no leader'],
  [/Deadline exceeded|timed out/i, 'no answer in time'],
]
const CLOSED =
  /ECONNRESET|EPROTO|Failed to connect|wrong version|dropped|hang up|disconnected|closed/i
const CLOSED_REASONS = {
  'https:': 'it closed the connection: perhaps it speaks no TLS, then use http://',
  'http:': 'it closed the connection: perhaps it speaks TLS, then use https://',
} as const

/** Connects when the first call is made. */
export function connectEtcd(options: EtcdClientOptions): EtcdClient {
  let members = options.endpoints.map((endpoint) => memberOf(endpoint, options))
  return {
    async call(path, request) {
      const away: Member[] = []
      const reasons: string[] = []
      for (const member of members) {
        const answer = await ask(member.client, path, request, options.timeoutMs)
        if (answer instanceof Uint8Array || !AWAY.includes(answer.code)) {
          // From now on, this member is asked first.
          members = [...members.slice(away.length), ...away]
          return answer instanceof Uint8Array ? answer : refusalOf(answer)
        }
        away.push(member)
        reasons.push(`${member.endpoint}: ${await reasonAt(member.endpoint, answer.details)}`)
      }
      throw new KmsError(`etcd does not answer: ${reasons.join('; ')}`, { code: 'unavailable' })
    },
    [Symbol.asyncDispose]() {
      for (const { client } of members) client.close()
      return Promise.resolve()
    },
  }
}

function memberOf(endpoint: string, { tls, maxMessageBytes }: EtcdClientOptions): Member {
  const { secure, host, port } = placeOf(endpoint)
  const target = `${host}:${port}`
  const channel: ClientOptions = {
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.enable_http_proxy': 0,
    'grpc.use_local_subchannel_pool': 1,
  }
  if (!secure)
    return { endpoint, client: new Client(target, credentials.createInsecure(), channel) }
  const { name, verify } = identityOf(host, tls.serverName)
  return {
    endpoint,
    client: new Client(target, trusted(tls, verify), {
      ...channel,
      ...(name === undefined ? {} : { 'grpc.ssl_target_name_override': name }),
    }),
  }
}

/** @returns the host as it is written in the endpoint, with its brackets */
function placeOf(endpoint: string) {
  const { protocol, hostname, port } = new URL(endpoint)
  const secure = protocol === 'https:'
  // A URL does not keep a port that is the default of its scheme.
  const standard = secure ? 443 : 80
  return { secure, host: hostname, port: port === '' ? standard : Number(port) }
}

/** grpc-js must send some name; this one is never compared with anything. */
const NO_NAME = 'etcd.invalid'

/**
 * grpc-js sends the host as the server's name, which Node refuses for an address (RFC 6066). So a
 * name is sent that belongs to nobody, and the certificate is compared with the address.
 */
function identityOf(
  hostname: string,
  serverName: string | undefined,
): { readonly name: string | undefined; readonly verify: VerifyOptions } {
  const address = hostname.replace(/^\[(.*)\]$/, '$1')
  if (serverName !== undefined || isIP(address) === 0) return { name: serverName, verify: {} }
  const verify: VerifyOptions = {
    checkServerIdentity: (_, certificate) => checkServerIdentity(address, certificate),
  }
  return { name: NO_NAME, verify }
}

/** @throws KmsError `request_invalid` where a file does not hold what it should */
function trusted({ ca, client }: EtcdTls, verify: VerifyOptions): ChannelCredentials {
  try {
    // As everywhere else, an issuing authority alone is trusted, which grpc-js has no option for. Without
    // a context of its own it would ask the environment for authorities, ciphers and whether to verify.
    const trust =
      ca === undefined ? { ca: [...rootCertificates] } : { ca, allowPartialTrustChain: true }
    const context = createSecureContext({ ...trust, ...client, minVersion: 'TLSv1.2' })
    return credentials.createFromSecureContext(context, { ...verify, rejectUnauthorized: true })
  } catch (cause) {
    throw new KmsError(
      'Cannot use the certificates for etcd: --cacert and --cert are PEM files of certificates, and --key of the key of the first one in --cert',
      { code: 'request_invalid', cause },
    )
  }
}

/** Never rejects. */
function ask(
  client: Client,
  path: string,
  request: Uint8Array,
  timeoutMs: number,
): Promise<Uint8Array | ServiceError> {
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      path,
      (bytes: Uint8Array) => Buffer.from(bytes),
      (bytes: Buffer): Uint8Array => bytes,
      request,
      { deadline: Date.now() + timeoutMs },
      (error, answer) => resolve(error ?? answer ?? new Uint8Array()),
    )
  })
}

function refusalOf({ code, details }: ServiceError): EtcdRefusal {
  return { status: status[code] ?? String(code), details: plainDetails(details) }
}

async function reasonAt(endpoint: string, details: string): Promise<string> {
  const reason = reasonOf(endpoint, details)
  if (reason !== UNTRUSTED) return reason
  const { host, port } = placeOf(endpoint)
  const names = await presentedAt(host.replace(/^\[(.*)\]$/, '$1'), port)
  return names === undefined ? reason : `${reason}; it shows ${names}`
}

function reasonOf(endpoint: string, details: string): string {
  const known = REASONS.find(([pattern]) => pattern.test(details))?.[1]
  if (known !== undefined) return known
  if (!CLOSED.test(details)) return 'no connection'
  return CLOSED_REASONS[endpoint.startsWith('https:') ? 'https:' : 'http:']
}
