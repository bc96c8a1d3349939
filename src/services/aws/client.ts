/**
 * The three operations of KMS that the provider needs, as JSON 1.1 over one path
 * (docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html). It handles credentials,
 * throttling, and failures that pass.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import * as v from 'valibot'
import { ConcurrencyLimit } from '../../base/attempts/concurrency_limit.ts'
import { retry } from '../../base/attempts/retry.ts'
import type { Clock } from '../../base/clock.ts'
import { KmsError, systemReasonOf, toKmsError } from '../../base/errors.ts'
import type { Call } from '../../base/provider.ts'
import { readSmallFile } from '../../base/small_file.ts'
import { type HttpAnswer, parseAnswer } from '../../remote/http/client.ts'
import { checkOpened, WrapCheck } from '../wrap_check.ts'
import type { AwsApi, AwsCredentials } from './api.ts'
import { type Asked, type KmsAction, kmsError } from './errors.ts'
import { AwsError, faultOf } from './fault.ts'
import type { CredentialStore } from './login/credential_store.ts'

interface KmsClientDeps {
  readonly api: AwsApi
  readonly store: CredentialStore
  readonly clock: Clock
  /** From 0 to 1; for jitter alone. */
  readonly random: () => number
  readonly region: string
  readonly grantTokenFile: string | undefined
}

/** More requests than there are connections would only wait for one. */
const AT_ONCE = 8
const MAX_GRANT_TOKENS = 10

const bytes = v.pipe(
  v.string(),
  v.base64(),
  v.nonEmpty(),
  v.transform((text) => new Uint8Array(Buffer.from(text, 'base64'))),
)
/** Later than this no date is. */
const MAX_SECONDS = 8.64e12
const epochSeconds = v.pipe(v.number(), v.finite(), v.minValue(0), v.maxValue(MAX_SECONDS))
const encryptAnswer = v.object({ CiphertextBlob: bytes, KeyId: v.string() })
const decryptAnswer = v.object({ Plaintext: bytes, KeyId: v.string() })
const describeAnswer = v.object({
  KeyMetadata: v.object({
    Arn: v.string(),
    KeyId: v.string(),
    CreationDate: epochSeconds,
    KeyState: v.string(),
    KeyUsage: v.string(),
    KeySpec: v.string(),
    MultiRegion: v.optional(v.boolean(), false),
    DeletionDate: v.optional(epochSeconds),
    CurrentKeyMaterialId: v.optional(v.pipe(v.string(), v.hexadecimal(), v.maxLength(64))),
  }),
})
export type KeyMetadata = v.InferOutput<typeof describeAnswer>['KeyMetadata']

interface CipherRequest {
  /** ARN. */
  readonly key: string
  readonly context: Readonly<Record<string, string>>
  readonly bytes: Uint8Array
}

export class KmsClient {
  readonly #deps: KmsClientDeps
  readonly #limit = new ConcurrencyLimit(AT_ONCE)
  readonly #wraps = new WrapCheck()

  constructor(deps: KmsClientDeps) {
    this.#deps = deps
  }

  async encrypt({ key, context, bytes: plaintext }: CipherRequest, call: Call) {
    const body = { Plaintext: base64(plaintext), EncryptionContext: context }
    const answer = await this.#ask('Encrypt', key, body, encryptAnswer, call)
    checkKey('Encrypt', key, answer.body.KeyId)
    return this.#wraps.sealed(answer.body.CiphertextBlob, plaintext)
  }

  async decrypt({ key, context, bytes: ciphertext }: CipherRequest, call: Call) {
    const body = { CiphertextBlob: base64(ciphertext), EncryptionContext: context }
    const answer = await this.#ask('Decrypt', key, body, decryptAnswer, call)
    checkKey('Decrypt', key, answer.body.KeyId)
    return checkOpened(answer.body.Plaintext, ciphertext)
  }

  /** @param key ARN, id or alias */
  async describeKey(key: string, call: Call) {
    const { body, serviceTime } = await this.#ask('DescribeKey', key, {}, describeAnswer, call)
    return { metadata: body.KeyMetadata, serviceTime }
  }

  async #ask<TSchema extends v.GenericSchema>(
    action: KmsAction,
    key: string,
    more: object,
    schema: TSchema,
    call: Call,
  ): Promise<{ body: v.InferOutput<TSchema>; serviceTime: number | undefined }> {
    const { clock, random, region } = this.#deps
    const tokens = await this.#grantTokens()
    const body = JSON.stringify({ KeyId: key, ...more, ...tokens })
    const ask = () => this.#limited({ action, key, region }, body, call)
    const answer = await retry(ask, { clock, random, mayPass }, call)
    return { body: parseAnswer(answer, schema, action), serviceTime: answer.serviceTime }
  }

  async #limited(asked: Asked, body: string, call: Call): Promise<HttpAnswer> {
    try {
      const answer = await this.#limit.run(() => this.#authorised(asked, body, call), call.signal)
      this.#limit.wentWell()
      return answer
    } catch (error) {
      if (toKmsError(error).code === 'throttled') this.#limit.tooMany()
      throw error
    }
  }

  /** Refused credentials are replaced once, for all requests that wait for that. */
  async #authorised(asked: Asked, body: string, call: Call): Promise<HttpAnswer> {
    const { store } = this.#deps
    const credentials = await store.get(call)
    const answer = await this.#once(asked, body, credentials, call)
    const kind = faultOf(answer)?.kind
    if (kind !== 'credentials' && kind !== 'signature') return accepted(answer, asked)
    const others = await store.replace(credentials, call)
    if (others === undefined) return accepted(answer, asked)
    return accepted(await this.#once(asked, body, others, call), asked)
  }

  #once({ action }: Asked, body: string, credentials: AwsCredentials, call: Call) {
    const headers = {
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': `TrentService.${action}`,
    }
    return this.#deps.api.send({ headers, body }, credentials, call)
  }

  async #grantTokens(): Promise<{ GrantTokens?: readonly string[] }> {
    const { grantTokenFile: path } = this.#deps
    if (path === undefined) return {}
    const text = await readSmallFile(path).catch((cause: unknown) => {
      const message = `File "${path}" of grantTokenFile cannot be read: ${systemReasonOf(cause)}`
      throw new KmsError(message, { code: 'denied', cause })
    })
    const tokens = text.split(/\s+/).filter((word) => word !== '')
    if (tokens.length <= MAX_GRANT_TOKENS) return { GrantTokens: tokens }
    const message = `File "${path}" of grantTokenFile has more than ${MAX_GRANT_TOKENS} tokens`
    throw new KmsError(message, { code: 'denied' })
  }
}

/** @throws AwsError for any status but 200 */
function accepted(answer: HttpAnswer, asked: Asked): HttpAnswer {
  const fault = faultOf(answer)
  if (fault === undefined) return answer
  throw kmsError(fault, answer, asked)
}

/** True for failures that the service calls temporary, and where there was no connection. */
function mayPass(error: unknown): boolean {
  return error instanceof AwsError ? error.passing : toKmsError(error).code === 'unavailable'
}

function checkKey(action: KmsAction, wanted: string, used: string): void {
  if (used === wanted) return
  const message = `${action} was done by another KMS key than ${wanted}, which it was asked for`
  throw new KmsError(message, { code: 'protocol' })
}

function base64(data: Uint8Array): string {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64')
}
