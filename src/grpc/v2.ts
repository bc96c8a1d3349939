/** KMS v2 over the domain's {@link KmsService}; checks what comes in and what goes out. @module */

import { create, toBinary } from '@bufbuild/protobuf'
import { isAnnotationKey } from '../base/annotation_key.ts'
import { KmsError } from '../base/errors.ts'
import { MAX_ANNOTATION_BYTES, MAX_KEY_ID_BYTES, MAX_V2_CIPHERTEXT_BYTES } from '../base/limits.ts'
import type { EncryptReply, KmsService } from '../base/service.ts'
import { decodeRequest, requestInvalid, wipe, wrongAnswer } from './message.ts'
import { createUnary, type UnaryDeps, type UnaryHandler } from './unary.ts'
import {
  DecryptRequestSchema,
  DecryptResponseSchema,
  EncryptRequestSchema,
  EncryptResponseSchema,
  StatusRequestSchema,
  StatusResponseSchema,
} from './v2_pb.ts'

export interface V2Deps extends UnaryDeps {
  readonly service: KmsService
  /** Never changes while an API server is connected (rule S3). */
  readonly statusVersion: 'v2' | 'v2beta1'
}

export function createV2Handlers(
  deps: V2Deps,
): Record<'Status' | 'Encrypt' | 'Decrypt', UnaryHandler> {
  const { service, statusVersion } = deps
  const status = createUnary(
    {
      api: 'v2',
      name: 'Status',
      run(bytes, _call, facts) {
        decodeRequest(StatusRequestSchema, bytes)
        const keyId = service.status()
        facts.keyId = keyId
        if (!fits(keyId)) throw wrongAnswer('key id is empty or too long')
        const answer = { version: statusVersion, healthz: 'ok', keyId }
        return toBinary(StatusResponseSchema, create(StatusResponseSchema, answer))
      },
    },
    deps,
  )
  const encrypt = createUnary(
    {
      api: 'v2',
      name: 'Encrypt',
      async run(bytes, call, facts) {
        const { plaintext, uid } = decodeRequest(EncryptRequestSchema, bytes)
        facts.uid = uid
        if (plaintext.length === 0)
          throw requestInvalid('Plaintext is empty: wanted one byte or more')
        try {
          const reply = await service.encrypt({ api: 'v2', plaintext }, call)
          facts.keyId = reply.keyId
          checkReply(reply)
          return toBinary(EncryptResponseSchema, create(EncryptResponseSchema, reply))
        } finally {
          wipe(plaintext)
        }
      },
    },
    deps,
  )
  const decrypt = createUnary(
    {
      api: 'v2',
      name: 'Decrypt',
      async run(bytes, call, facts) {
        const { ciphertext, uid, keyId, annotations } = decodeRequest(DecryptRequestSchema, bytes)
        facts.uid = uid
        checkDecrypt(ciphertext, keyId, annotations)
        facts.keyId = keyId
        const request = { api: 'v2', ciphertext, keyId, annotations } as const
        const plaintext = await service.decrypt(request, call)
        if (plaintext.length === 0) throw wrongAnswer('plaintext is empty')
        return toBinary(DecryptResponseSchema, create(DecryptResponseSchema, { plaintext }))
      },
    },
    deps,
  )
  return { Status: status, Encrypt: encrypt, Decrypt: decrypt }
}

type Annotations = Readonly<Record<string, Uint8Array>>

function checkDecrypt(ciphertext: Uint8Array, keyId: string, annotations: Annotations): void {
  if (ciphertext.length === 0) {
    throw new KmsError('Ciphertext is empty', { code: 'ciphertext_empty' })
  }
  if (ciphertext.length > MAX_V2_CIPHERTEXT_BYTES) {
    throw requestInvalid(
      `Ciphertext has ${ciphertext.length} bytes: wanted at most ${MAX_V2_CIPHERTEXT_BYTES}`,
    )
  }
  if (!fits(keyId)) {
    throw requestInvalid(`Key id is empty or too long: wanted 1 to ${MAX_KEY_ID_BYTES} bytes`)
  }
  if (annotationBytes(annotations) > MAX_ANNOTATION_BYTES) {
    throw requestInvalid(`Annotations are too long: wanted at most ${MAX_ANNOTATION_BYTES} bytes`)
  }
}

function checkReply({ ciphertext, keyId, annotations }: EncryptReply): void {
  if (ciphertext.length === 0 || ciphertext.length > MAX_V2_CIPHERTEXT_BYTES) {
    throw wrongAnswer('ciphertext is empty or too long')
  }
  if (!fits(keyId)) throw wrongAnswer('key id is empty or too long')
  if (!Object.keys(annotations).every(isAnnotationKey))
    throw wrongAnswer('annotation key is no DNS name')
  if (annotationBytes(annotations) > MAX_ANNOTATION_BYTES) {
    throw wrongAnswer('annotations are too long')
  }
}

function fits(keyId: string): boolean {
  return keyId !== '' && byteLength(keyId) <= MAX_KEY_ID_BYTES
}

function annotationBytes(annotations: Annotations): number {
  return Object.entries(annotations).reduce(
    (sum, [key, value]) => sum + byteLength(key) + value.length,
    0,
  )
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length
}
