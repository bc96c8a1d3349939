/** Nothing that a TPM answers is believed: what is no good answer is refused, and nothing hangs. @module */

import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import { KmsError } from '../../../src/base/errors.ts'
import {
  isSignedJwt,
  pcrsOf,
  policyKey,
  signJwt,
  writePolicies,
  writeTpmKey,
} from '../../_lib/remote/tpm/login_key.ts'
import { startSwtpm } from '../../_lib/remote/tpm/swtpm.ts'
import { startTpmProxy } from '../../_lib/remote/tpm/tpm_proxy.ts'
import { SeededRandom } from '../../_lib/seeded_random.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'

const HEADER = 10
const test = suite('remote/tpm/answers', () => ({}))

async function setup() {
  const folder = await tempFolder()
  const tpm = await startSwtpm()
  const proxy = await startTpmProxy(folder.at('proxy'), tpm.socketPath)
  const [keyFile, policyFile] = [folder.at('key.json'), folder.at('policies.json')]
  const { publicKey: authority, privateKey } = policyKey()
  const publicKey = await writeTpmKey(keyFile, tpm.device, { authority })
  await writePolicies(policyFile, privateKey, await pcrsOf(tpm.device, [7, 11]))
  const outcome = async () => {
    const found = await signJwt({ device: proxy.device, keyFile, policyFile }).then(
      (jwt) => (isSignedJwt(jwt, publicKey) ? 'signed' : 'a bad signature'),
      (error: unknown) => error,
    )
    // Whoever cannot read what a TPM answers cannot clear away what it made.
    for (const kind of ['-t', '-l']) await tpm.tool('tpm2_flushcontext', kind)
    return found
  }
  assert.is(await outcome(), 'signed')
  return {
    proxy,
    outcome,
    /** Those that a signature takes. */
    commands: [...new Set(proxy.commands.splice(0))],
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]()
      await tpm[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

/** What is done to an answer; its size is put right where that shall not be what is noticed. */
const LIES: Readonly<Record<string, (good: Buffer) => Buffer>> = {
  'is another TPM 1.2 answer': (good) => replaced(good, 0, 0x00, 0xc4),
  'claims to be shorter than it is': (good) => replaced(good, 5, HEADER),
  'lacks its last byte': (good) => (good.length > HEADER ? resized(good.subarray(0, -1)) : good),
  'has a byte too many': (good) => resized(Buffer.concat([good, Buffer.of(0)])),
  'is a header alone that says all is well, with a tail': (good) =>
    resized(Buffer.concat([good.subarray(0, HEADER), Buffer.alloc(3)])),
  'is a refusal with a tail': (good) => replaced(good, 6, 0, 0, 0x01, 0x01),
}

for (const [what, lie] of Object.entries(LIES)) {
  test(`an answer to any command that ${what} is refused`, async () => {
    await using one = await setup()
    for (const wanted of one.commands) {
      let lied = false
      one.proxy.change = (code, answer) => {
        if (code !== wanted) return answer
        const told = lie(answer)
        lied ||= !told.equals(answer)
        return told
      }

      const outcome = await one.outcome()

      const name = `0x${wanted.toString(16)}: ${String(outcome)}`
      if (lied) assert.instance(outcome, KmsError, name)
      else assert.is(outcome, 'signed', name)
    }
  })
}

test('any byte that is changed in an answer leads to a good signature or to an error, and to nothing else', async () => {
  await using one = await setup()
  const random = SeededRandom.announced('answers of a TPM')
  for (const wanted of one.commands) {
    for (let turn = 0; turn < 8; turn += 1) {
      one.proxy.change = (code, answer) => {
        if (code !== wanted) return answer
        const at = HEADER + random.below(Math.max(1, answer.length - HEADER))
        return at < answer.length ? replaced(answer, at, random.below(256)) : answer
      }

      const outcome = await one.outcome()

      const name = `0x${wanted.toString(16)}: ${String(outcome)}`
      assert.ok(outcome instanceof KmsError || outcome === 'signed', name)
      if (outcome instanceof KmsError) assert.ok(outcome.code !== 'internal', name)
    }
  }
})

test('an answer that is longer than any may be is not waited for', async () => {
  await using one = await setup()
  one.proxy.change = () => {
    const much = Buffer.alloc(5_000)
    much.writeUInt16BE(0x8001)
    much.writeUInt32BE(4_294_967_295, 2)
    return much
  }

  const error = await one.outcome()

  assert.instance(error, KmsError)
  assert.match((error as KmsError).message, /has another size than was asked for/)
})

function replaced(good: Buffer, at: number, ...bytes: readonly number[]): Buffer {
  const bad = Buffer.from(good)
  bad.set(bytes, at)
  return bad
}

function resized(bytes: Uint8Array): Buffer {
  const bad = Buffer.from(bytes)
  bad.writeUInt32BE(bad.length, 2)
  return bad
}

test.run()
