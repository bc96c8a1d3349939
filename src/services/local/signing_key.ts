/**
 * The signing key of a signer in a file of this node, which `trousseau keygen FILE --signer` makes. The
 * same file is on every control-plane node.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto'
import { KmsError } from '../../base/errors.ts'
import type { Call, Outcome } from '../../base/provider.ts'
import {
  HASH_OF,
  type PublicVersions,
  type SigningAlgorithm,
  type SigningKeySource,
  type SignRequest,
} from '../../base/signing_key.ts'
import {
  type FileMark,
  type KeyKind,
  type LocalKey,
  type LocalKeys,
  markOf,
  readContinuation,
  readKeyFile,
  sameMark,
} from './key_file.ts'

const CURVES = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' } as const
const RSA_BITS = 3072

/** The kind of a file of private keys, PKCS #8 in DER; a new one is for this algorithm. */
export function signingKeys(algorithm: SigningAlgorithm = 'ES256'): KeyKind {
  return {
    kind: 'TrousseauSigningKeys',
    spelling: /^[A-Za-z0-9+/]{100,8000}={0,2}$/,
    fresh: () => new Uint8Array(fresh(algorithm).export({ type: 'pkcs8', format: 'der' })),
  }
}

function fresh(algorithm: SigningAlgorithm): KeyObject {
  return algorithm === 'RS256'
    ? generateKeyPairSync('rsa', { modulusLength: RSA_BITS }).privateKey
    : generateKeyPairSync('ec', { namedCurve: CURVES[algorithm] }).privateKey
}

/** The public half of a key in such a file: SubjectPublicKeyInfo, in DER. */
function publicHalf({ key }: LocalKey): Uint8Array {
  return new Uint8Array(createPublicKey(privateKeyOf(key)).export({ type: 'spki', format: 'der' }))
}

/** The public halves of all versions, in PEM, oldest first. */
export function publicPems({ keys }: LocalKeys): string[] {
  return keys.map(({ key }) =>
    createPublicKey(privateKeyOf(key)).export({ type: 'spki', format: 'pem' }).toString(),
  )
}

export function createLocalSigningKey(keyFile: string): SigningKeySource {
  return new LocalSigningKey(keyFile)
}

interface ReadFile {
  readonly keys: LocalKeys
  readonly mark: FileMark
  /** By the label of their version. */
  readonly privateKeys: ReadonlyMap<string, KeyObject>
}

class LocalSigningKey implements SigningKeySource {
  readonly id: string
  readonly batchItems = 1
  readonly #path: string
  /** Undefined while it could not be read. */
  #file: ReadFile | undefined

  constructor(path: string) {
    this.id = `local:${path}`
    this.#path = path
  }

  /** Reads the file again when it has changed. */
  async publicKeys({ signal }: Call): Promise<PublicVersions> {
    signal.throwIfAborted()
    const { keys } = await this.#current()
    const versions = keys.keys.map((key) => ({
      label: String(key.version),
      createdAt: key.createdAt,
      publicKey: publicHalf(key),
      maySign: true,
    }))
    return { versions, serviceTime: undefined }
  }

  async sign(
    { version, algorithm, inputs }: SignRequest,
    { signal }: Call,
  ): Promise<readonly Outcome<Uint8Array>[]> {
    signal.throwIfAborted()
    const { privateKeys } = this.#file ?? (await this.#current())
    const key = privateKeys.get(version)
    if (key === undefined) {
      const message = `Key file "${this.#path}" has no version ${version}: copy the file of the node that has it`
      throw new KmsError(message, { code: 'key_unavailable' })
    }
    const values = await Promise.all(inputs.map((input) => signed(algorithm, key, input)))
    return values.map((value) => ({ ok: true, value }))
  }

  describe(): string {
    return this.#path
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  async #current(): Promise<ReadFile> {
    const before = this.#file
    if (before !== undefined && sameMark(await markOf(this.#path), before.mark)) return before
    const { keys, mark } =
      before === undefined
        ? await readKeyFile(this.#path, signingKeys())
        : await readContinuation(this.#path, before.keys, signingKeys())
    this.#file = { keys, mark, privateKeys: privateKeysOf(keys) }
    return this.#file
  }
}

function privateKeysOf({ keys }: LocalKeys): ReadonlyMap<string, KeyObject> {
  return new Map(keys.map(({ version, key }) => [String(version), privateKeyOf(key)]))
}

function privateKeyOf(key: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.from(key), format: 'der', type: 'pkcs8' })
}

/** Runs beside the event loop, since RSA takes milliseconds. */
function signed(algorithm: SigningAlgorithm, key: KeyObject, input: Uint8Array) {
  return new Promise<Uint8Array>((resolve, reject) => {
    sign(HASH_OF[algorithm], input, { key, dsaEncoding: 'ieee-p1363' }, (error, signature) => {
      if (error === null) resolve(new Uint8Array(signature))
      else reject(error)
    })
  })
}
