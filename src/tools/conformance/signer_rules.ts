/**
 * Probes any signer of ServiceAccount tokens by the rules of its contract (docs/signer.md) that can be
 * seen from outside. It has tokens signed that nobody takes, and never shows them.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { hash, type KeyObject, verify } from 'node:crypto'
import { HASH_OF, type SigningAlgorithm } from '../../base/signing_key.ts'
import { RpcError } from '../../grpc/client.ts'
import { judged } from './judge.ts'
import { expect, must, NotSeen, needed, type Rule, type RuleFinding, should } from './rule.ts'
import { headerOf, publicKeyOf, refused, SEGMENT, SignerProbe } from './signer_probe.ts'

const UNIMPLEMENTED = 12
const MIN_TOKEN_SECONDS = 600
const MAX_ID_BYTES = 1_024
const AT_ONCE = 100
/** Seconds of the years 1 and 9999, between which a timestamp is valid. */
const TIMES = { first: -62_135_596_800n, last: 253_402_300_799n }
const HEADER_FIELDS: readonly string[] = ['alg', 'kid', 'typ']
const CURVES = { ES256: 'prime256v1', ES384: 'secp384r1', ES512: 'secp521r1' } as const

/**
 * One finding for each rule, in the order of the contract. Nothing that a signer does makes it throw.
 */
export async function checkSigner(socketPath: string, timeoutMs: number): Promise<RuleFinding[]> {
  using probe = new SignerProbe(socketPath, timeoutMs)
  return await judged(RULES, probe)
}

const RULES: readonly Rule<SignerProbe>[] = [
  must(
    'J1',
    'v1.ExternalJWTSigner is served on a unix socket',
    async (probe) => {
      const code = await probe.metadata().then(
        () => undefined,
        (error: unknown) => (error instanceof RpcError ? error.code : undefined),
      )
      expect(code !== UNIMPLEMENTED, 'what answers is no signer')
      return ''
    },
    'no signer is served on the socket (J1)',
  ),
  must('J2', 'FetchKeys answers', async (probe) => {
    const { keys } = await probe.firstKeys().catch(refused('FetchKeys'))
    return `${keys.length} keys`
  }),
  must('J3', 'Metadata answers', async (probe) => {
    await probe.metadata().catch(refused('Metadata'))
    return ''
  }),
  must('J5', 'Tokens may live for 600 s or more', async (probe) => {
    const metadata = await needed('a Metadata that works (J3)', probe.metadata())
    const seconds = Number(metadata.maxTokenExpirationSeconds)
    expect(seconds >= MIN_TOKEN_SECONDS, `${seconds} s`)
    return `${seconds} s`
  }),
  must('J6', 'The refresh hint is one', async (probe) => {
    const seconds = Number((await probe.keys()).refreshHintSeconds)
    expect(seconds >= 1, `${seconds} s`)
    return `${seconds} s`
  }),
  must('J7', 'Every key is an RSA or ECDSA key with a name', async (probe) => {
    const { keys } = await probe.keys()
    expect(keys.length > 0, 'there is no key')
    for (const [at, { keyId, key }] of keys.entries()) {
      const bytes = Buffer.byteLength(keyId)
      expect(bytes > 0 && bytes <= MAX_ID_BYTES, `the name of key ${at} has ${bytes} bytes`)
      const type = publicKeyOf(key)?.asymmetricKeyType
      expect(type === 'rsa' || type === 'ec', `key ${at} is ${type ?? 'no public key'}`)
    }
    return ''
  }),
  must('J8', 'The keys have the time when they were read', async (probe) => {
    const { dataTimestamp } = await probe.keys()
    expect(dataTimestamp !== undefined, 'it is absent')
    const { seconds, nanos } = dataTimestamp
    const valid = seconds >= TIMES.first && seconds <= TIMES.last && nanos >= 0 && nanos < 1e9
    expect(valid, 'it is no valid time')
    return new Date(Number(seconds) * 1_000).toISOString()
  }),
  must('J10', 'Sign answers a header of alg, kid and typ', async (probe) => {
    const header = headerOf(await probe.firstSign().catch(refused('Sign')))
    expect(header !== undefined, 'the header is no JSON in base64url')
    const others = Object.keys(header).filter((name) => !HEADER_FIELDS.includes(name))
    expect(others.length === 0, 'it has other fields')
    expect(header['typ'] === 'JWT', 'typ is not "JWT"')
    expect(isAlgorithm(header['alg']), 'alg is none that API servers take')
    const { kid } = header
    expect(typeof kid === 'string', 'kid is no text')
    const bytes = Buffer.byteLength(kid)
    expect(bytes > 0 && bytes <= MAX_ID_BYTES, `kid has ${bytes} bytes`)
    return String(header['alg'])
  }),
  must('J12', 'The key that signs is published', async (probe) => {
    const { kid, keys } = await signing(probe)
    expect(
      keys.some(({ keyId }) => keyId === kid),
      'no API server knows it',
    )
    return ''
  }),
  must('J11', 'The signature is one of the published key', async (probe) => {
    const { token, alg, key } = await published(probe)
    const input = Buffer.from(`${token.header}.${token.claims}`)
    const publicKey = publicKeyOf(key.key)
    if (publicKey === undefined) throw new NotSeen('needs a key that is one (J7)')
    expect(fits(alg, publicKey), `${alg} is not for this key`)
    expect(SEGMENT.test(token.signature), 'it is no base64url')
    const signature = Buffer.from(token.signature, 'base64url')
    const way = { key: publicKey, dsaEncoding: 'ieee-p1363' } as const
    expect(verify(HASH_OF[alg], input, way, signature), 'it does not verify')
    return ''
  }),
  must('J13', 'The key that signs is in discovery', async (probe) => {
    const { key } = await published(probe)
    expect(!key.excludeFromOidcDiscovery, 'it is excluded, and its tokens are refused')
    return ''
  }),
  should('J14', 'Keys are called as API servers call those of files', async (probe) => {
    const { keys } = await probe.keys()
    const other = keys.filter(({ keyId, key }) => keyId !== hash('sha256', key, 'base64url'))
    expect(other.length === 0, `${other.length} of ${keys.length} are not: no way back to a file`)
    return ''
  }),
  must('J15', `${AT_ONCE} Signs at once`, async (probe) => {
    await probe.sample()
    const results = await Promise.allSettled(Array.from({ length: AT_ONCE }, () => probe.sign()))
    const good = results.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
    expect(good.length === AT_ONCE, `${AT_ONCE - good.length} of ${AT_ONCE} failed`)
    const signatures = new Set(good.map(({ signature }) => signature))
    expect(signatures.size === AT_ONCE, 'two tokens have one signature')
    return ''
  }),
  must('J16', 'Errors quote no claims', async (probe) => {
    await probe.sign('').catch(() => undefined)
    if (probe.errors.length === 0) throw new NotSeen('no call failed')
    const said = probe.errors.map(({ message }) => message)
    const leaks = probe.claims.some((claims) => said.some((text) => quotes(text, claims)))
    expect(!leaks, 'an error message holds what was to be signed')
    return `${probe.errors.length} errors`
  }),
]

/** Keys are fetched anew: a rotation may have come between. */
async function signing(probe: SignerProbe) {
  const token = await probe.sample()
  const { alg, kid } = headerOf(token) ?? {}
  if (!isAlgorithm(alg) || typeof kid !== 'string') {
    throw new NotSeen('needs a header that is one (J10)')
  }
  await probe.keys()
  const { keys } = await probe.fetchKeys()
  return { token, alg, kid, keys }
}

async function published(probe: SignerProbe) {
  const { keys, ...rest } = await signing(probe)
  const key = keys.find(({ keyId }) => keyId === rest.kid)
  if (key === undefined) throw new NotSeen('needs a key that is published (J12)')
  return { ...rest, key }
}

function isAlgorithm(name: unknown): name is SigningAlgorithm {
  return typeof name === 'string' && Object.hasOwn(HASH_OF, name)
}

function fits(alg: SigningAlgorithm, key: KeyObject): boolean {
  if (alg === 'RS256') return key.asymmetricKeyType === 'rsa'
  return key.asymmetricKeyDetails?.namedCurve === CURVES[alg]
}

function quotes(text: string, claims: string): boolean {
  if (claims === '') return false
  return text.includes(claims) || text.includes(Buffer.from(claims, 'base64url').toString())
}
