/** The config of a provider of type `gcpkms`. @module */

import * as v from 'valibot'
import { tlsConfig } from '../../remote/tls_fields.ts'
import { allowInsecureHttp, httpOrigin, proxyConfig } from '../http_fields.ts'
import { providerFields } from '../provider_fields.ts'
import { googleAuth } from './login/auth.ts'

const KEY =
  /^projects\/(?<project>[\w.:-]+)\/locations\/(?<location>[\w-]+)\/keyRings\/(?<ring>[\w-]{1,63})\/cryptoKeys\/(?<name>[\w-]{1,63})$/

export const gcpKmsConfig = v.pipe(
  v.strictObject({
    ...providerFields,
    type: v.literal('gcpkms'),
    key: v.pipe(
      v.string(),
      v.regex(KEY, 'projects/P/locations/L/keyRings/R/cryptoKeys/K, without a version'),
      v.description('Resource name: projects/P/locations/L/keyRings/R/cryptoKeys/K'),
    ),
    endpoint: v.optional(
      v.pipe(
        v.union(
          [v.picklist(['global', 'locational', 'regional']), httpOrigin],
          'global, locational, regional, or https://host without a path',
        ),
        v.description(
          'global: cloudkms.googleapis.com; locational: L-cloudkms.googleapis.com; regional: cloudkms.L.rep.googleapis.com; or https://host',
        ),
      ),
      'global',
    ),
    allowInsecureHttp,
    tls: v.optional(tlsConfig, {}),
    proxy: v.optional(v.pipe(proxyConfig, v.description('HTTP proxy on the way to Google'))),
    auth: googleAuth,
  }),
  v.check(
    ({ allowInsecureHttp: mayBeOpen, endpoint, auth }) =>
      mayBeOpen ||
      [endpoint, auth.iamEndpoint, 'stsEndpoint' in auth ? auth.stsEndpoint : undefined].every(
        (one) => one?.startsWith('http://') !== true,
      ),
    'https:// endpoints (http:// only with allowInsecureHttp: true)',
  ),
)
export type GcpKmsConfig = v.InferOutput<typeof gcpKmsConfig>

interface KeyParts {
  readonly project: string
  readonly location: string
  readonly ring: string
  readonly name: string
}

export function partsOf(key: string): KeyParts {
  const { project = '', location = '', ring = '', name = '' } = KEY.exec(key)?.groups ?? {}
  return { project, location, ring, name }
}

/**
 * Endpoints are described in https://cloud.google.com/kms/docs/reference/service-apis-overview and
 * https://cloud.google.com/vpc/docs/regional-service-endpoints
 */
export function endpointOf({ endpoint, key }: Pick<GcpKmsConfig, 'endpoint' | 'key'>): string {
  const { location } = partsOf(key)
  switch (endpoint) {
    case 'global':
      return 'https://cloudkms.googleapis.com'
    case 'locational':
      return `https://${location}-cloudkms.googleapis.com`
    case 'regional':
      return `https://cloudkms.${location}.rep.googleapis.com`
    default:
      return endpoint
  }
}
