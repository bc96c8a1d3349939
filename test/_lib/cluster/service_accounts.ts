/** ServiceAccount tokens as clients get and use them, through a real API server. @module */

import { Buffer } from 'node:buffer'
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import type { ApiServer } from './api_server.ts'
import { KubeApi } from './kube_api.ts'

const ACCOUNT = 'signed'
const NAMESPACE = 'default'
const PATH = `/api/v1/namespaces/${NAMESPACE}/serviceaccounts`
const USER = `system:serviceaccount:${NAMESPACE}:${ACCOUNT}`

/** Makes the account that the tokens are of. */
export async function makeAccount({ api }: Pick<ApiServer, 'api'>): Promise<void> {
  const metadata = { name: ACCOUNT, namespace: NAMESPACE }
  const body = { apiVersion: 'v1', kind: 'ServiceAccount', metadata }
  const { status } = await api.send('POST', PATH, body)
  if (status !== 201 && status !== 409) throw new Error(`ServiceAccount: ${status}`)
}

/** A new token, by TokenRequest. */
export async function newToken({ api }: Pick<ApiServer, 'api'>, limitMs?: number): Promise<string> {
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} }
  const limits = limitMs === undefined ? {} : { limitMs }
  const answer = await api.must('POST', `${PATH}/${ACCOUNT}/token`, body, limits)
  return answer.status.token
}

export function kidOf(token: string): string {
  return decodeProtectedHeader(token).kid ?? ''
}

/** Whether the API server takes the token of a client that shows it: `kubectl auth whoami`. */
export async function isTaken(
  { address, kubeconfig }: Pick<ApiServer, 'address' | 'kubeconfig'>,
  token: string,
): Promise<boolean> {
  const caFile = kubeconfig.replace(/admin\.kubeconfig$/, 'apiserver.crt')
  await using client = new KubeApi(address, token, caFile)
  const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews'
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' }
  const { status, body: answer } = await client.send('POST', path, body)
  if (status === 401) return false
  if (status !== 201) throw new Error(`SelfSubjectReview: ${status}`)
  return answer.status.userInfo.username === USER
}

/** Whether the API server vouches for the token to somebody else: TokenReview. */
export async function isReviewed({ api }: Pick<ApiServer, 'api'>, token: string): Promise<boolean> {
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } }
  const { status } = await api.must('POST', '/apis/authentication.k8s.io/v1/tokenreviews', body)
  return status.authenticated === true && status.user.username === USER
}

/** Whether one outside the cluster can check the token, by what discovery leads to. */
export async function isVerifiedOutside(
  { api }: Pick<ApiServer, 'api'>,
  token: string,
): Promise<boolean> {
  const found = await api.must('GET', '/.well-known/openid-configuration')
  const { issuer, jwks_uri, id_token_signing_alg_values_supported: algorithms } = found
  const jwks = await api.must('GET', new URL(jwks_uri).pathname)
  const verified = await jwtVerify(token, createLocalJWKSet(jwks), { issuer, algorithms }).catch(
    () => undefined,
  )
  return verified?.payload.sub === USER
}

/** Names of the keys that discovery shows. */
export async function discoveredKids({ api }: Pick<ApiServer, 'api'>): Promise<string[]> {
  const { keys } = await api.must('GET', '/openid/v1/jwks')
  return keys.map(({ kid }: { kid: string }) => kid)
}

/** A token whose signature was changed. */
export function forged(token: string): string {
  const [header, claims, signature = ''] = token.split('.')
  const bytes = Buffer.from(signature, 'base64url')
  bytes[0] = (bytes[0] ?? 0) ^ 1
  return [header, claims, bytes.toString('base64url')].join('.')
}
