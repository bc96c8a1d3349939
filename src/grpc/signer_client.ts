/** A client for the socket of any signer of ServiceAccount tokens, which asks as kube-apiserver does. @module */

import { connectTo } from './client.ts'
import {
  FetchKeysRequestSchema,
  FetchKeysResponseSchema,
  MetadataRequestSchema,
  MetadataResponseSchema,
  SignJWTRequestSchema,
  SignJWTResponseSchema,
} from './externaljwt_pb.ts'

const SERVICE = '/v1.ExternalJWTSigner'
const SIGN = {
  path: `${SERVICE}/Sign`,
  input: SignJWTRequestSchema,
  output: SignJWTResponseSchema,
}
const FETCH_KEYS = {
  path: `${SERVICE}/FetchKeys`,
  input: FetchKeysRequestSchema,
  output: FetchKeysResponseSchema,
}
const METADATA = {
  path: `${SERVICE}/Metadata`,
  input: MetadataRequestSchema,
  output: MetadataResponseSchema,
}

/** Connects when the first call is made. */
export function connectSigner(socketPath: string, options: { readonly timeoutMs: number }) {
  const { call, close } = connectTo(socketPath, options)
  return {
    sign: (claims: string) => call(SIGN, { claims }),
    fetchKeys: () => call(FETCH_KEYS, {}),
    metadata: () => call(METADATA, {}),
    close,
  }
}
