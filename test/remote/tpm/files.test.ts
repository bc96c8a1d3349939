/** The files of a login key in a TPM: nothing in them is believed. @module */

import { Buffer } from 'node:buffer'
import { generateKeyPairSync } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { KmsError } from '../../../src/base/errors.ts'
import { readAssertionKey, readLoginKey } from '../../../src/remote/assertion.ts'
import { readTpmKeyFile, tpmKeyText } from '../../../src/remote/tpm/login_key_file.ts'
import { pcrPolicy } from '../../../src/remote/tpm/policy.ts'
import {
  isSignedBy,
  policyFileText,
  readPolicyFile,
  signPolicy,
} from '../../../src/remote/tpm/policy_file.ts'
import { loginKeyTemplate, readLoginArea } from '../../../src/remote/tpm/structures.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { rejection, suite } from '../../_lib/uvu.ts'

const PCRS = new Map([
  [7, Buffer.alloc(32, 7)],
  [11, Buffer.alloc(32, 11)],
])
const test = suite('remote/tpm/files', () => ({}))

/** The public area of a key as a TPM would make it, and its public half. */
function area(policy = pcrPolicy(PCRS)) {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' })
  const [bytesX, bytesY] = [x, y].map((each) => Buffer.from(each, 'base64url'))
  const size = Buffer.of(0, 32)
  const empty = loginKeyTemplate(policy).subarray(0, -4)
  const point = [size, bytesX ?? size, size, bytesY ?? size]
  return { publicKey, bytes: Buffer.concat([empty, ...point]) }
}

async function setup() {
  const folder = await tempFolder()
  const path = folder.at('key.json')
  const { publicKey, bytes } = area()
  const blobs = { publicArea: bytes, privateArea: Buffer.from('planted') }
  const text = tpmKeyText(blobs, Buffer.from('parent'), { pcrs: PCRS })
  await writeFile(path, text)
  return {
    path,
    publicKey,
    text,
    /** Reads the key again after a change of the file. */
    async changed(change: (content: Record<string, unknown>) => object) {
      await writeFile(path, JSON.stringify(change(JSON.parse(text))))
      return await rejection(readTpmKeyFile(path))
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}

test('a key file gives what was put into it', async () => {
  await using one = await setup()

  const key = await readTpmKeyFile(one.path)

  assert.equal(key.policy, { pcrs: PCRS })
  assert.is(key.blobs.privateArea.toString(), 'planted')
  assert.ok(key.publicKey.equals(one.publicKey))
})

const CHANGES: Readonly<Record<string, (content: Record<string, unknown>) => object>> = {
  'a PCR of another value': (content) => ({
    ...content,
    policy: { pcrs: { 7: 'ab'.repeat(32), 11: '0b'.repeat(32) } },
  }),
  'a PCR less': (content) => ({ ...content, policy: { pcrs: { 7: '07'.repeat(32) } } }),
  'no PCR': (content) => ({ ...content, policy: { pcrs: {} } }),
  'a PCR that no TPM has': (content) => ({ ...content, policy: { pcrs: { 24: '07'.repeat(32) } } }),
  'another kind of policy': (content) => ({
    ...content,
    policy: {
      signedBy: generateKeyPairSync('ec', {
        namedCurve: 'P-256',
        publicKeyEncoding: { type: 'spki', format: 'pem' },
        privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      }).publicKey,
    },
  }),
  'a policy by what is no key': (content) => ({
    ...content,
    policy: { signedBy: '-----BEGIN PUBLIC KEY-----\n' },
  }),
  'another public area': (content) => ({
    ...content,
    public: area(Buffer.alloc(32)).bytes.toString('base64'),
  }),
  'a public area that is cut': (content) => ({ ...content, public: 'AAAA' }),
  'a version of later': (content) => ({ ...content, version: 2 }),
  'a word too many': (content) => ({ ...content, more: 1 }),
  'what is no base64': (content) => ({ ...content, private: '!' }),
}

for (const [what, change] of Object.entries(CHANGES)) {
  test(`a key file with ${what} is refused`, async () => {
    await using one = await setup()

    const error = await one.changed(change)

    assert.instance(error, KmsError)
    const { code, message } = error as KmsError
    assert.is(code, 'denied')
    assert.match(message, `File "${one.path}" of auth.selfSigned.tpm.keyFile`)
    assert.match(
      message,
      /was changed: its key|is not what "trousseau|names no public|another kind/,
    )
    assert.not.match(message, /planted/)
  })
}

test('the public area of a key that may do more than sign under its policy is refused', () => {
  const { bytes } = area()
  assert.ok(readLoginArea(bytes, 'It').publicKey)
  for (let bit = 0; bit < 32; bit += 1) {
    const other = Buffer.from(bytes)
    other.writeUInt32BE((other.readUInt32BE(4) ^ (1 << bit)) >>> 0, 4)

    assert.throws(() => readLoginArea(other, 'It'), /It has a key of another kind/)
  }
})

test('a key in a TPM is told from one in a file, whichever is named', async () => {
  await using one = await setup()

  const { inTpm, publicKey } = await readLoginKey(one.path)
  assert.ok(inTpm && publicKey.equals(one.publicKey))
  const error = await rejection(readAssertionKey(one.path))
  assert.match(String(error), /is a key in a TPM: name it in auth\.selfSigned\.tpm\.keyFile/)
})

test('a policy file gives what was signed, and says of nothing else that the key signed it', async () => {
  await using folder = await tempFolder()
  const path = folder.at('policies.json')
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  await writeFile(path, policyFileText([signPolicy(PCRS, privateKey)]))

  const { policies } = await readPolicyFile(path)

  assert.equal([policies.length, policies[0]?.pcrs], [1, PCRS])
  const [policy] = policies
  if (policy === undefined) throw new Error('No policy')
  assert.ok(isSignedBy(policy, privateKey))
  assert.not.ok(isSignedBy(policy, other.privateKey))
  const changed = { ...policy, pcrs: new Map([[7, Buffer.alloc(32)]]) }
  assert.not.ok(isSignedBy(changed, privateKey))
})

for (const [what, text] of [
  ['nothing', ''],
  ['no policy', '{"kind":"trousseau-tpm-policies","version":1,"policies":[]}'],
  [
    'a signature that is too short',
    '{"kind":"trousseau-tpm-policies","version":1,"policies":[{"pcrs":{"7":"' +
      `${'ab'.repeat(32)}"},"signature":"AAAA"}]}`,
  ],
] as const) {
  test(`a policy file with ${what} is refused`, async () => {
    await using folder = await tempFolder()
    await writeFile(folder.at('file'), text)

    const error = await rejection(readPolicyFile(folder.at('file')))

    assert.is((error as KmsError).code, 'denied')
    assert.match(String(error), /is not what "trousseau login-key authorize" makes/)
  })
}

test.run()
