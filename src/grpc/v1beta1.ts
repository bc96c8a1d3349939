/** KMS v1beta1 over the domain's {@link KmsService}: no key id, no uid, no annotations. @module */

import { create, toBinary } from '@bufbuild/protobuf'
import { KmsError } from '../base/errors.ts'
import { MAX_V1_CIPHERTEXT_BYTES } from '../base/limits.ts'
import type { KmsService } from '../base/service.ts'
import { decodeRequest, requestInvalid, wipe, wrongAnswer } from './message.ts'
import { createUnary, type UnaryDeps, type UnaryHandler } from './unary.ts'
import {
  DecryptRequestSchema,
  DecryptResponseSchema,
  EncryptRequestSchema,
  EncryptResponseSchema,
  VersionRequestSchema,
  VersionResponseSchema,
} from './v1beta1_pb.ts'

const API = 'v1beta1'
const RUNTIME_NAME = 'trousseau'

export interface V1Deps extends UnaryDeps {
  readonly service: KmsService
  /** Version of this software. */
  readonly runtimeVersion: string
}

export function createV1Handlers(
  deps: V1Deps,
): Record<'Version' | 'Encrypt' | 'Decrypt', UnaryHandler> {
  const { service, runtimeVersion } = deps
  const version = createUnary(
    {
      api: API,
      name: 'Version',
      run(bytes) {
        decodeRequest(VersionRequestSchema, bytes)
        const answer = { version: API, runtimeName: RUNTIME_NAME, runtimeVersion }
        return toBinary(VersionResponseSchema, create(VersionResponseSchema, answer))
      },
    },
    deps,
  )
  const encrypt = createUnary(
    {
      api: API,
      name: 'Encrypt',
      async run(bytes, call, facts) {
        const request = decodeRequest(EncryptRequestSchema, bytes)
        checkVersion(request.version)
        const plaintext = request.plain
        if (plaintext.length === 0)
          throw requestInvalid('Plaintext is empty: wanted one byte or more')
        try {
          const { ciphertext, keyId } = await service.encrypt({ api: API, plaintext }, call)
          facts.keyId = keyId
          if (ciphertext.length === 0 || ciphertext.length > MAX_V1_CIPHERTEXT_BYTES) {
            throw wrongAnswer('cipher is empty or too long')
          }
          return toBinary(
            EncryptResponseSchema,
            create(EncryptResponseSchema, { cipher: ciphertext }),
          )
        } finally {
          wipe(plaintext)
        }
      },
    },
    deps,
  )
  const decrypt = createUnary(
    {
      api: API,
      name: 'Decrypt',
      async run(bytes, call) {
        const { version: asked, cipher } = decodeRequest(DecryptRequestSchema, bytes)
        checkVersion(asked)
        if (cipher.length === 0) {
          throw new KmsError(
            'Ciphertext is empty: whatever stored it lost the key of this object (a known fault of Trousseau 1.x with a static token)',
            { code: 'ciphertext_empty' },
          )
        }
        const request = { api: API, ciphertext: cipher, keyId: undefined, annotations: {} } as const
        const plain = await service.decrypt(request, call)
        if (plain.length === 0) throw wrongAnswer('plain is empty')
        return toBinary(DecryptResponseSchema, create(DecryptResponseSchema, { plain }))
      },
    },
    deps,
  )
  return { Version: version, Encrypt: encrypt, Decrypt: decrypt }
}

/** The API server always says `v1beta1`; simpler clients leave it out. */
function checkVersion(version: string): void {
  if (version === API || version === '') return
  throw requestInvalid(`Request is of another API version: wanted ${API}`)
}
