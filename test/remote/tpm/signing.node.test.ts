/** A login key in a real TPM: when it signs, when the TPM does not let it, and what is said then. @module */

import { generateKeyPairSync } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { withinLimit } from '../../../src/base/call.ts'
import { systemClock } from '../../../src/base/clock.ts'
import { KmsError } from '../../../src/base/errors.ts'
import { tpmRemarks } from '../../../src/remote/tpm/remarks.ts'
import {
  isSignedJwt,
  pcrsOf,
  policyKey,
  signJwt,
  writePolicies,
  writeTpmKey,
} from '../../_lib/remote/tpm/login_key.ts'
import { startSwtpm } from '../../_lib/remote/tpm/swtpm.ts'
import { startTpmDevice } from '../../_lib/remote/tpm/tpm_device.ts'
import { refusal, startTpmProxy, type TpmProxy } from '../../_lib/remote/tpm/tpm_proxy.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { rejection, suite } from '../../_lib/uvu.ts'

const SIGN = 0x15d
const PERSISTENT = '0x81000001'
/** As `tpm2_createprimary` is to make the storage root key that every program gets. */
const ROOT = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt'
const test = suite('remote/tpm/signing', () => ({}))

async function setup() {
  const folder = await tempFolder()
  const tpm = await startSwtpm()
  const [keyFile, policyFile] = [folder.at('key.json'), folder.at('policies.json')]
  const { device } = tpm
  const policy = policyKey()
  await tpm.extend(7)
  return {
    folder,
    tpm,
    policy,
    keyFile,
    policyFile,
    fixedKey: () => writeTpmKey(keyFile, device, { pcrs: [7, 11] }),
    authorizedKey: () => writeTpmKey(keyFile, device, { authority: policy.publicKey }),
    /** Signs the state of now. */
    authorize: async (key = policy.privateKey) =>
      await writePolicies(policyFile, key, await pcrsOf(device, [7, 11])),
    fixed: (limitMs?: number) => signJwt({ device, keyFile }, limitMs),
    authorized: () => signJwt({ device, keyFile, policyFile }),
    async [Symbol.asyncDispose]() {
      await tpm[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

async function refused(work: Promise<unknown>, code: string, words: RegExp): Promise<void> {
  const error = await rejection(work)
  assert.instance(error, KmsError)
  assert.match((error as KmsError).message, words)
  assert.is((error as KmsError).code, code)
}

test('a key for fixed PCRs signs until one of them is extended, and again after a boot as before', async () => {
  await using one = await setup()
  const publicKey = await one.fixedKey()

  assert.ok(isSignedJwt(await one.fixed(), publicKey))
  await one.tpm.extend(3)
  assert.ok(isSignedJwt(await one.fixed(), publicKey))
  await one.tpm.extend(11)
  await refused(
    one.fixed(),
    'denied',
    /\(0x99d\): PCR 11 has another value than when the key was made/,
  )
  await one.tpm.stop()
  await one.tpm.start()
  await refused(one.fixed(), 'denied', /\(0x99d\): PCR 7 has another value/)
  await one.tpm.extend(7)
  assert.ok(isSignedJwt(await one.fixed(), publicKey))
})

test('a key with signed policies signs in every state that the offline key approved of, and in no other', async () => {
  await using one = await setup()
  const publicKey = await one.authorizedKey()
  await refused(
    signJwt({ device: one.tpm.device, keyFile: one.keyFile }),
    'denied',
    /name the file of/,
  )
  await one.authorize()
  assert.ok(isSignedJwt(await one.authorized(), publicKey))

  await one.tpm.extend(11)
  await refused(one.authorized(), 'denied', /stale.* PCR 11 has another value than in the nearest/)
  await one.authorize()

  assert.ok(isSignedJwt(await one.authorized(), publicKey))
})

test('of several signed policies the one is taken that fits', async () => {
  await using one = await setup()
  const publicKey = await one.authorizedKey()
  const before = await pcrsOf(one.tpm.device, [7, 11])
  await one.tpm.extend(7, 11)
  const now = await pcrsOf(one.tpm.device, [7, 11])

  await writePolicies(one.policyFile, one.policy.privateKey, before, now)
  assert.ok(isSignedJwt(await one.authorized(), publicKey))
  await writePolicies(one.policyFile, one.policy.privateKey, before)
  await refused(one.authorized(), 'denied', /PCRs 7, 11 have other values than in the nearest one/)
})

test('a policy by another key, and one that was changed, are refused by the TPM', async () => {
  await using one = await setup()
  await one.authorizedKey()

  await one.authorize(policyKey().privateKey)
  await refused(one.authorized(), 'denied', /is not signed by the policy key .*\(TPM: 0x2db\)/)
  await one.authorize()
  const text = await readFile(one.policyFile, 'utf8')
  await one.tpm.extend(7)
  const { pcrs } = { pcrs: await pcrsOf(one.tpm.device, [7]) }
  await writeFile(
    one.policyFile,
    text.replace(/"7": "\w+"/, `"7": "${pcrs.get(7)?.toString('hex')}"`),
  )
  await refused(one.authorized(), 'denied', /is not signed by the policy key .*\(TPM: 0x2db\)/)
})

test('a TPM that is another one, was cleared, or is gone is told as that', async () => {
  await using one = await setup()
  await using other = await startSwtpm()
  await one.fixedKey()

  const elsewhere = signJwt({ device: other.device, keyFile: one.keyFile })
  await refused(elsewhere, 'denied', /is not of this TPM, or of before it was cleared/)
  await one.tpm.tool('tpm2_clear')
  await refused(one.fixed(), 'denied', /is not of this TPM, or of before it was cleared/)
  await one.tpm.stop()
  await refused(one.fixed(), 'unavailable', /cannot be opened: there is no such file/)
})

test('a TPM that hangs costs one caller its time, and serves again once it answers', async () => {
  await using one = await setup()
  const publicKey = await one.fixedKey()

  one.tpm.freeze()
  await refused(one.fixed(500), 'timeout', /TPM ".*" did not answer in time: Gave up after/)
  await refused(one.fixed(500), 'timeout', /TPM ".*" did not answer in time: Gave up after/)
  const config = { keyFile: one.keyFile, policyFile: undefined, device: one.tpm.device }
  const [remark] = await withinLimit(systemClock, 1_000, (call) =>
    tpmRemarks(config, { clock: systemClock, call }),
  )
  assert.equal([remark?.id, remark?.level], ['tpm-unusable', 'error'])
  one.tpm.thaw()

  assert.ok(isSignedJwt(await one.fixed(), publicKey))
  assert.is((await one.tpm.tool('tpm2_getcap', 'handles-transient')).trim(), '')
})

test('the storage root key at 0x81000001 is used where it is the same, and made anew elsewhere', async () => {
  await using one = await setup()
  const publicKey = await one.fixedKey()
  const proxied = (proxy: TpmProxy) => signJwt({ device: proxy.device, keyFile: one.keyFile })
  await using proxy = await startTpmProxy(one.folder.at('proxy'), one.tpm.socketPath)
  const makesRoot = () => proxy.commands.splice(0).includes(0x131)

  assert.ok(isSignedJwt(await proxied(proxy), publicKey))
  assert.is(makesRoot(), true)
  await one.tpm.tool('tpm2_createprimary', '-C', 'o', '-G', 'ecc', '-a', ROOT, '-c', 'root')
  await one.tpm.tool('tpm2_evictcontrol', '-C', 'o', '-c', 'root', PERSISTENT)
  await one.tpm.tool('tpm2_flushcontext', '-t')
  assert.ok(isSignedJwt(await proxied(proxy), publicKey))
  assert.is(makesRoot(), false)
})

test('an owner password is told, and harms nothing where a storage root key is kept', async () => {
  await using one = await setup()
  const publicKey = await one.fixedKey()
  await one.tpm.tool('tpm2_changeauth', '-c', 'owner', 'planted-password')

  await refused(
    one.fixed(),
    'denied',
    /CreatePrimary \(0x9a2\): it wants the password of its owner/,
  )
  const owner = ['-P', 'planted-password']
  await one.tpm.tool(
    'tpm2_createprimary',
    '-C',
    'o',
    ...owner,
    '-G',
    'ecc',
    '-a',
    ROOT,
    '-c',
    'root',
  )
  await one.tpm.tool('tpm2_evictcontrol', '-C', 'o', ...owner, '-c', 'root', PERSISTENT)
  await one.tpm.tool('tpm2_flushcontext', '-t')

  assert.ok(isSignedJwt(await one.fixed(), publicKey))
})

/** Makes the TPM take no passwords, by a wrong one for a key that counts them. */
async function lockOut({ tpm }: Awaited<ReturnType<typeof setup>>): Promise<void> {
  // Each leaves its keys in the TPM, which has room for three.
  const tool = async (name: string, ...args: string[]) => {
    await tpm.tool(name, ...args).finally(() => tpm.tool('tpm2_flushcontext', '-t'))
  }
  await tool('tpm2_dictionarylockout', '--setup-parameters', '--max-tries=1')
  await tool('tpm2_createprimary', '-C', 'o', '-G', 'ecc', '-c', 'other')
  await tool(
    'tpm2_create',
    '-C',
    'other',
    '-G',
    'ecc',
    '-p',
    'right',
    '-u',
    'o.pub',
    '-r',
    'o.priv',
  )
  await tool('tpm2_load', '-C', 'other', '-u', 'o.pub', '-r', 'o.priv', '-c', 'o.ctx')
  await rejection(tool('tpm2_sign', '-c', 'o.ctx', '-p', 'wrong', '-o', 'none', 'o.pub'))
  assert.match(await tpm.tool('tpm2_getcap', 'properties-variable'), /inLockout: +1/)
}

test('a lockout by wrong passwords does not concern a login key', async () => {
  await using one = await setup()
  const publicKey = await one.fixedKey()
  await lockOut(one)

  assert.ok(isSignedJwt(await one.fixed(), publicKey))
})

test('under a storage root key that counts passwords a lockout is told', async () => {
  await using one = await setup()
  const root = ROOT.replace('|noda', '')
  await one.tpm.tool('tpm2_createprimary', '-C', 'o', '-G', 'ecc', '-a', root, '-c', 'root')
  await one.tpm.tool('tpm2_evictcontrol', '-C', 'o', '-c', 'root', PERSISTENT)
  await one.tpm.tool('tpm2_flushcontext', '-t')
  const publicKey = await one.fixedKey()
  assert.ok(isSignedJwt(await one.fixed(), publicKey))
  await lockOut(one)

  await refused(
    one.fixed(),
    'unavailable',
    /Load \(0x921\): it is locked out after wrong passwords/,
  )
  await one.tpm.tool('tpm2_dictionarylockout', '--clear-lockout')
  assert.ok(isSignedJwt(await one.fixed(), publicKey))
})

test('a TPM without room says who took it', async () => {
  await using one = await setup()
  await one.fixedKey()
  for (const name of ['a', 'b', 'c']) {
    await one.tpm.tool('tpm2_createprimary', '-C', 'o', '-G', 'ecc', '-c', name)
  }

  await refused(one.fixed(), 'unavailable', /\(0x902\): it has no room for another key or session/)
})

for (const [name, responseCode] of [
  ['RC_RETRY', 0x922],
  ['RC_YIELDED', 0x908],
  ['RC_TESTING', 0x90a],
] as const) {
  test(`${name} has the same command sent again, and is told after some times`, async () => {
    await using one = await setup()
    const publicKey = await one.fixedKey()
    await using proxy = await startTpmProxy(one.folder.at('proxy'), one.tpm.socketPath)
    const signs = () => signJwt({ device: proxy.device, keyFile: one.keyFile })
    proxy.answer = (_, count) => (count % 2 === 1 ? refusal(responseCode) : undefined)

    assert.ok(isSignedJwt(await signs(), publicKey))
    proxy.commands.length = 0
    proxy.answer = (code) => (code === SIGN ? refusal(responseCode) : undefined)
    await refused(signs(), 'unavailable', /Sign \(0x9\w\w\): it is busy, and was still when asked/)
    assert.is(proxy.commands.filter((code) => code === SIGN).length, 8)
  })
}

test('a PCR that is extended in the middle of a signature has it begun anew', async () => {
  await using one = await setup()
  const publicKey = await one.fixedKey()
  await using proxy = await startTpmProxy(one.folder.at('proxy'), one.tpm.socketPath)
  let times = 0
  proxy.answer = (code) => {
    if (code !== SIGN || times === 1) return undefined
    times += 1
    return refusal(0x128)
  }

  assert.ok(isSignedJwt(await signJwt({ device: proxy.device, keyFile: one.keyFile }), publicKey))
  assert.is(times, 1)
})

test('a TPM that is a device is written to and read as a device', async () => {
  await using one = await setup()
  const publicKey = await one.fixedKey()
  await using bridge = await startTpmDevice(one.tpm.socketPath)

  const jwt = await signJwt({ device: bridge.device, keyFile: one.keyFile })

  assert.ok(isSignedJwt(jwt, publicKey))
})

test('many signatures at a time take their turns, and leave nothing in the TPM', async () => {
  await using one = await setup()
  const publicKey = await one.fixedKey()

  const jwts = await Promise.all(Array.from({ length: 8 }, () => one.fixed()))

  assert.ok(jwts.every((jwt) => isSignedJwt(jwt, publicKey)))
  for (const kind of ['handles-transient', 'handles-loaded-session']) {
    assert.is((await one.tpm.tool('tpm2_getcap', kind)).trim(), '')
  }
})

test('a policy key of another kind than P-256 is refused before the TPM is asked', async () => {
  await using one = await setup()
  const { publicKey } = generateKeyPairSync('ed25519')

  const making = writeTpmKey(one.keyFile, one.tpm.device, { authority: publicKey })

  await refused(making, 'request_invalid', /another kind than ECDSA with P-256/)
})

test.run()
