/**
 * What other KMS plugins stored: the bytes, the key ids and the annotations of each, as their
 * sources write them (docs/takeover.md). A format only says which plugin can have made a request;
 * the key service proves that it did.
 *
 * Nothing here throws, whatever the bytes are.
 *
 * @module
 */

import type { KmsApi } from '../base/events.ts'
import { own } from '../base/own.ts'
import type { DecryptRequest } from '../base/service.ts'
import {
  azureParts,
  type ForeignPart,
  rawParts,
  storageVersionParts,
  transitParts,
  trousseau2Parts,
} from './parts.ts'

export const FOREIGN_FORMS = [
  'trousseau-1',
  'trousseau-2',
  'vault-kubernetes-kms',
  'vault-kms-provider',
  'kleidi',
  'aws-encryption-provider',
  'azure-kubernetes-kms',
  'k8s-cloudkms-plugin',
] as const
export type ForeignFormName = (typeof FOREIGN_FORMS)[number]

interface ForeignForm {
  /** The APIs under which the plugin stored it. */
  readonly apis: readonly KmsApi[]
  /** The wraps inside; undefined where the plugin cannot have made these bytes. */
  parts(request: DecryptRequest): readonly ForeignPart[] | undefined
  /**
   * Whether the plugin can have made a v2 key id.
   *
   * @param key the name of the key in the reader's config, where it is known
   */
  keyId(keyId: string, key: string | undefined): boolean
  /** Whether the plugin can have made these v2 annotations. */
  annotations(annotations: DecryptRequest['annotations']): boolean
}

export const FORMS: Readonly<Record<ForeignFormName, ForeignForm>> = {
  'trousseau-1': {
    apis: ['v1beta1'],
    parts: transitParts,
    keyId: never,
    annotations: isEmpty,
  },
  'trousseau-2': {
    apis: ['v1beta1'],
    parts: trousseau2Parts,
    keyId: never,
    annotations: isEmpty,
  },
  'vault-kubernetes-kms': {
    apis: ['v1beta1', 'v2'],
    parts: transitParts,
    // At first the creation time of the version, later its number.
    keyId: (keyId) => /^[1-9]\d{0,11}$/.test(keyId),
    annotations: isEmpty,
  },
  'vault-kms-provider': {
    apis: ['v2'],
    parts: transitParts,
    // The creation time of the newest version, in seconds.
    keyId: (keyId) => /^[1-9]\d{8,11}$/.test(keyId),
    annotations: isEmpty,
  },
  kleidi: {
    apis: ['v2'],
    parts: transitParts,
    keyId: (keyId) => /^kleidi-kms-plugin(?:_[1-9]\d{0,8}_[1-9]\d{0,11})?$/.test(keyId),
    annotations: (annotations) => match(annotations, { 'v2.kleidi.beezy.dev': /^1$/ }),
  },
  'aws-encryption-provider': {
    apis: ['v1beta1', 'v2'],
    parts: storageVersionParts,
    keyId: (keyId, key) => AWS_KEY.test(keyId) && isSameAwsKey(keyId, key),
    annotations: isEmpty,
  },
  'azure-kubernetes-kms': {
    apis: ['v1beta1', 'v2'],
    parts: azureParts,
    // SHA-256 of the key's URL with its version, which the provider compares.
    keyId: (keyId) => /^[0-9a-f]{64}$/.test(keyId),
    annotations: isAzure,
  },
  'k8s-cloudkms-plugin': {
    apis: ['v1beta1', 'v2'],
    parts: rawParts,
    keyId: isGoogleVersion,
    annotations: isEmpty,
  },
}

/**
 * Pairs of formats that the same bytes under the same key id can belong to. Two providers of one
 * socket must not read such a pair, because nothing would say which of them a ciphertext is for.
 */
export const LOOK_ALIKES: readonly (readonly [ForeignFormName, ForeignFormName])[] = [
  ['trousseau-1', 'vault-kubernetes-kms'],
  ['vault-kubernetes-kms', 'vault-kms-provider'],
  ['aws-encryption-provider', 'azure-kubernetes-kms'],
  ['aws-encryption-provider', 'k8s-cloudkms-plugin'],
  ['azure-kubernetes-kms', 'k8s-cloudkms-plugin'],
]

const AWS_KEY =
  /^(?:arn:aws[\w-]*:kms:[\w-]+:\d{12}:(?=key\/|alias\/))?(?:alias\/[\w/-]+|(?:key\/)?(?:mrk-[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}))$/

/**
 * The plugin's key id is what the plugin was started with: a key id, an alias or the ARN of either.
 */
function isSameAwsKey(keyId: string, key: string | undefined): boolean {
  if (key === undefined) return true
  const [a, b] = [awsResource(keyId), awsResource(key)]
  // An alias stands for a key that only the service knows.
  return a === b || a.startsWith('alias/') !== b.startsWith('alias/')
}

/** Leaves out account and region, which differ between the copies of a multi-Region key. */
function awsResource(key: string): string {
  return key.replace(/^arn:[^:]*:kms:[^:]*:\d*:/, '').replace(/^key\//, '')
}

const GOOGLE_VERSION =
  /^(projects\/[^/]+\/locations\/[^/]+\/keyRings\/[^/]+\/cryptoKeys\/[^/:]+)\/cryptoKeyVersions\/[1-9]\d{0,8}(?::.+)?$/

/** The resource name of the version, and the plugin's `--key-suffix` where it has one. */
function isGoogleVersion(keyId: string, key: string | undefined): boolean {
  const named = GOOGLE_VERSION.exec(keyId)?.[1]
  return named !== undefined && (key === undefined || named === key)
}

const AZURE_ANNOTATIONS = {
  'version.azure.akv.io': /^1$/,
  'algorithm.azure.akv.io': /^RSA-OAEP-256$/,
}
/**
 * These annotations were written only until the plugin changed its SDK; a header that was absent is
 * an empty text.
 */
const AZURE_HEADER_ANNOTATIONS = {
  ...AZURE_ANNOTATIONS,
  'date.azure.akv.io': /^(?:[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT)?$/,
  'x-ms-request-id.azure.akv.io': /^[\w-]{0,64}$/,
  'x-ms-keyvault-region.azure.akv.io': /^[\w -]{0,64}$/,
}

function isAzure(annotations: DecryptRequest['annotations']): boolean {
  return match(annotations, AZURE_ANNOTATIONS) || match(annotations, AZURE_HEADER_ANNOTATIONS)
}

const MAX_VALUE_BYTES = 128

/** Accepts exactly these keys, each with a value of its format. */
function match(
  annotations: DecryptRequest['annotations'],
  formats: Readonly<Record<string, RegExp>>,
): boolean {
  const entries = Object.entries(annotations)
  if (entries.length !== Object.keys(formats).length) return false
  return entries.every(([key, value]) => {
    const format = own(formats, key)
    if (format === undefined || value.length > MAX_VALUE_BYTES) return false
    return format.test(String.fromCharCode(...value))
  })
}

function isEmpty(annotations: DecryptRequest['annotations']): boolean {
  return Object.keys(annotations).length === 0
}

function never(): boolean {
  return false
}
