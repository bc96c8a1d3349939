/**
 * Tokens from the metadata server of Compute Engine and GKE.
 *
 * `GET http://169.254.169.254/computeMetadata/v1/instance/service-accounts/ACCOUNT/token` with
 * `Metadata-Flavor: Google`, which the answer must carry too:
 * https://cloud.google.com/compute/docs/access/authenticate-workloads#applications and
 * https://cloud.google.com/compute/docs/metadata/querying-metadata
 *
 * @module
 */

import * as v from 'valibot'
import { KmsError } from '../../../base/errors.ts'
import type { Call } from '../../../base/provider.ts'
import { fingerprintOf } from '../../../remote/secret_file.ts'
import type { Token } from '../../../remote/token_source.ts'
import { GoogleStatusError } from '../api.ts'
import {
  askWithRetries,
  type GoogleDeps,
  type GoogleSource,
  tokenAnswer,
  tokenOf,
} from './source.ts'

export const metadataConfig = {
  method: v.literal('metadata'),
  serviceAccount: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^[\w.@:-]+$/, '"default", or the address of a service account'),
      v.description('Which of the accounts of the instance; default where absent'),
    ),
    'default',
  ),
  address: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^http:\/\/[^/?#@\s]+$/, 'http://host or http://host:port'),
      v.description('Where the metadata server is'),
    ),
    // The name would need a resolver; the documentation allows the address as well.
    'http://169.254.169.254',
  ),
}

interface MetadataConfig {
  readonly serviceAccount: string
  readonly address: string
}

const FLAVOR = 'metadata-flavor'

export function metadataSource(config: MetadataConfig, deps: GoogleDeps): GoogleSource {
  return {
    prepare: () =>
      Promise.resolve({
        fingerprint: fingerprintOf(config.address, config.serviceAccount),
        // The access scopes of the instance decide what the token is for.
        token: (_use, call) => metadataToken(config, deps, call),
      }),
  }
}

async function metadataToken(
  { serviceAccount, address }: MetadataConfig,
  deps: GoogleDeps,
  call: Call,
): Promise<Token> {
  const path = `/computeMetadata/v1/instance/service-accounts/${serviceAccount}/token`
  const request = { path, headers: { [FLAVOR]: 'Google' }, schema: tokenAnswer }
  try {
    const { body, header } = await askWithRetries(deps, deps.direct, address, request, call)
    if (header(FLAVOR) !== 'Google') {
      const message = `Something other than Google's metadata server answers at ${address}: is this a machine of Google Cloud?`
      throw new KmsError(message, { code: 'unavailable' })
    }
    return tokenOf(body.access_token, body.expires_in)
  } catch (error) {
    if (!(error instanceof GoogleStatusError) || error.status >= 429) throw error
    throw new KmsError(
      `Metadata server at ${address} answered ${error.status}: the instance has no service account "${serviceAccount}", or does not let this process ask for it`,
      { code: 'denied', cause: error },
    )
  }
}
