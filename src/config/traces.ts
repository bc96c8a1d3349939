/** The part of the config file about traces: `traces` (docs/observability.md). @module */

import * as v from 'valibot'
import { normalAddress, SERVICE_ADDRESS, wantedOfAddress } from '../remote/http/address.ts'
import { absolutePath } from '../remote/login_fields.ts'
import { tlsConfig } from '../remote/tls_fields.ts'

/** What every collector adds to the address that it names. */
const PATH = /\/v1\/traces$/
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/

const endpoint = v.pipe(
  v.string(),
  v.regex(SERVICE_ADDRESS, ({ input }) => wantedOfAddress(input)),
  v.check((text) => !SERVICE_ADDRESS.test(text) || URL.canParse(text), 'https://host:port'),
  v.description('The collector: OTLP over HTTP with JSON, below /v1/traces'),
  v.transform((text) => normalAddress(text).replace(PATH, '')),
)

export const tracesConfig = v.pipe(
  v.strictObject({
    endpoint,
    sampleRatio: v.optional(
      v.pipe(
        v.number(),
        v.minValue(0),
        v.maxValue(1),
        v.description('Which part of the requests is traced, where no caller has decided it'),
      ),
      1,
    ),
    tls: v.optional(v.pipe(tlsConfig, v.description('For an endpoint with https')), {}),
    tokenFile: v.optional(
      v.pipe(absolutePath, v.description('File with a token that is sent as Bearer')),
    ),
  }),
  v.forward(
    v.check(
      ({ endpoint: at, tokenFile }) => tokenFile === undefined || isPrivate(at),
      'an endpoint with https, on this node or a unix socket: anybody on the way can read the token',
    ),
    ['tokenFile'],
  ),
)
export type TracesConfig = v.InferOutput<typeof tracesConfig>

/** Whether nobody on the way can read what is sent. */
function isPrivate(address: string): boolean {
  const { protocol, hostname } = new URL(address)
  return protocol !== 'http:' || LOOPBACK.test(hostname)
}
