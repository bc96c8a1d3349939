/** The config of a provider of type `awskms`. @module */

import { Buffer } from 'node:buffer'
import * as v from 'valibot'
import { absolutePath } from '../../remote/login_fields.ts'
import { allowInsecureHttp, proxyConfig } from '../http_fields.ts'
import { providerFields } from '../provider_fields.ts'
import { partitionOf } from './endpoints.ts'
import { awsCredentialsConfig } from './login/credentials.ts'

const KEY_ID = /^(?:mrk-[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$/
const ARN = /^arn:(aws[\w-]*):kms:([a-z]{2,4}(?:-[a-z]+)+-\d+):(\d{12}):(key|alias)\/([\w/-]+)$/
const ALIAS = /^alias\/[\w/-]{1,250}$/
const REGION = /^[a-z]{2,4}(?:-[a-z]+)+-\d+$/

/** The envelope's digest has this name in the encryption context. */
export const DIGEST_NAME = 'trousseau-envelope'
/** The context is kept in every wrap, and a v2 ciphertext has at most 1024 bytes. */
const MAX_CONTEXT_BYTES = 384

/** A key or alias as the config names it. */
export interface KeyName {
  /** The form in which KMS accepts it. */
  readonly text: string
  readonly kind: 'key' | 'alias'
  /** Key id, or the alias without `alias/`. */
  readonly id: string
  /** Undefined where there is no ARN that says so. */
  readonly account: string | undefined
  readonly region: string | undefined
}

export function isKeyId(text: string): boolean {
  return KEY_ID.test(text)
}

/** Undefined for text that is no key id, no alias, and no ARN of either. */
export function parseKeyName(text: string): KeyName | undefined {
  if (text.startsWith('arn:')) return parseArn(text)
  const bare = { text, account: undefined, region: undefined }
  if (isKeyId(text)) return { ...bare, kind: 'key', id: text }
  return ALIAS.test(text) ? { ...bare, kind: 'alias', id: text.slice('alias/'.length) } : undefined
}

function parseArn(text: string): KeyName | undefined {
  const [, partition, region = '', account, kind, id = ''] = ARN.exec(text) ?? []
  if (partition !== partitionOf(region)) return undefined
  if (kind === 'alias') return { text, kind, id, account, region }
  return isKeyId(id) ? { text, kind: 'key', id, account, region } : undefined
}

const printable = (maximum: number) =>
  v.pipe(v.string(), v.regex(/^[\x20-\x7e]+$/, 'printable ASCII'), v.maxLength(maximum))

const encryptionContext = v.pipe(
  v.record(
    v.pipe(
      printable(128),
      v.check(
        (name) => !name.startsWith('aws:') && name !== DIGEST_NAME,
        `a name that is not "${DIGEST_NAME}" and does not start with "aws:"`,
      ),
    ),
    printable(128),
  ),
  v.check(
    (pairs) => contextBytes(pairs) <= MAX_CONTEXT_BYTES && Object.keys(pairs).length <= 8,
    `at most 8 pairs with ${MAX_CONTEXT_BYTES} bytes in all`,
  ),
)

/** The number of bytes that the pairs have in a wrap. */
export function contextBytes(pairs: Readonly<Record<string, string>>): number {
  return Object.entries(pairs).reduce(
    (sum, [name, value]) => sum + 2 + Buffer.byteLength(name) + Buffer.byteLength(value),
    0,
  )
}

const endpoint = (what: string) =>
  v.optional(
    v.pipe(
      v.string(),
      v.regex(/^https?:\/\/[^/?#@\s]+\/?$/, 'https://host:port without a path'),
      v.check((text) => URL.canParse(text), 'https://host:port'),
      v.description(`https://host of ${what}, such as that of a VPC endpoint`),
      v.transform((text) => new URL(text).origin),
    ),
  )

const flag = (text: string) => v.optional(v.pipe(v.boolean(), v.description(text)), false)

export const awsKmsConfig = v.pipe(
  v.strictObject({
    ...providerFields,
    type: v.literal('awskms'),
    key: v.pipe(
      v.string(),
      v.check(
        (text) => parseKeyName(text) !== undefined,
        'the ARN or id of a KMS key, or an alias',
      ),
      v.description('ARN of a symmetric KMS key; or its id, alias/NAME, or the ARN of an alias'),
    ),
    region: v.optional(
      v.pipe(
        v.string(),
        v.regex(REGION, 'a region such as eu-central-1'),
        v.description('Region of the key; that of its ARN where absent'),
      ),
    ),
    encryptionContext: v.optional(
      v.pipe(
        encryptionContext,
        v.description('Your own pairs, kept with every wrap and shown in CloudTrail; no secrets'),
      ),
      {},
    ),
    grantTokenFile: v.optional(
      v.pipe(absolutePath, v.description('File with grant tokens, one a line')),
    ),
    endpoint: endpoint('KMS'),
    stsEndpoint: endpoint('STS'),
    fips: flag('Asks the FIPS endpoints'),
    dualStack: flag('Asks the endpoints that have IPv6 too'),
    allowInsecureHttp,
    tls: v.optional(
      v.strictObject({
        caFile: v.optional(
          v.pipe(
            absolutePath,
            v.description('PEM file of the authorities to trust, and no others'),
          ),
        ),
      }),
      {},
    ),
    proxy: v.optional(
      v.pipe(proxyConfig, v.description('HTTP proxy on the way to KMS and STS, never to metadata')),
    ),
    credentials: v.optional(
      v.pipe(awsCredentialsConfig, v.description('Where credentials come from')),
      { source: 'default' },
    ),
  }),
  v.forward(
    v.check(({ key, region }) => {
      const name = parseKeyName(key)
      if (name?.region === undefined) return name === undefined || region !== undefined
      return region === undefined || region === name.region
    }, 'the region of the key, which is that of its ARN'),
    ['region'],
  ),
  v.forward(
    v.check(
      ({ endpoint: own, fips, dualStack }) => own === undefined || !(fips || dualStack),
      'no endpoint beside fips or dualStack',
    ),
    ['endpoint'],
  ),
  v.forward(
    v.check(
      ({ endpoint: kms, stsEndpoint: sts, allowInsecureHttp: mayBeOpen }) =>
        mayBeOpen || ![kms, sts].some((text) => text?.startsWith('http://')),
      'https:// (http:// only with allowInsecureHttp: true)',
    ),
    ['endpoint'],
  ),
)
export type AwsKmsConfig = v.InferOutput<typeof awsKmsConfig>

/** The key that a config names, always with its region. */
export function keyNameOf({ key, region }: AwsKmsConfig): KeyName & { readonly region: string } {
  const name = parseKeyName(key)
  const place = name?.region ?? region
  if (name === undefined || place === undefined) throw new TypeError('Config was not checked')
  return { ...name, region: place }
}

/**
 * The id of the provider. A key id is random and permanent, so it needs neither region nor account;
 * that way its ARN, the bare id, and the replicas of a multi-Region key are one key. An alias is
 * only a name within a region and an account.
 */
export function providerIdOf(config: AwsKmsConfig): string {
  if (config.id !== undefined) return config.id
  const { kind, id, region, account } = keyNameOf(config)
  if (kind === 'key') return `awskms:${id}`
  return `awskms:${[region, account].filter(Boolean).join(':')}:alias/${id}`
}
