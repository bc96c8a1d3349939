/** What is read of a TPM and computed for it, beside what tpm2-tools read and compute. @module */

import { Buffer } from 'node:buffer'
import { readFile, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { readTpmKeyFile } from '../../../src/remote/tpm/login_key_file.ts'
import { authorizePolicy, POLICY_REF, pcrPolicy } from '../../../src/remote/tpm/policy.ts'
import { nameOf, policyKeyArea } from '../../../src/remote/tpm/structures.ts'
import { sized } from '../../../src/remote/tpm/wire.ts'
import { pcrsOf, policyKey, writeTpmKey } from '../../_lib/remote/tpm/login_key.ts'
import { startSwtpm } from '../../_lib/remote/tpm/swtpm.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'

const ALL = Array.from({ length: 24 }, (_, pcr) => pcr)
const test = suite('remote/tpm/tools', () => ({}))

async function setup() {
  const folder = await tempFolder()
  const tpm = await startSwtpm()
  await tpm.extend(0, 7, 11, 16)
  await tpm.extend(7)
  return {
    folder,
    tpm,
    /** Without keys that earlier tools left in the TPM. */
    async tool(name: string, ...args: string[]) {
      const said = await tpm.tool(name, ...args)
      await tpm.tool('tpm2_flushcontext', '-t')
      return said
    },
    async [Symbol.asyncDispose]() {
      await tpm[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

test('tpm2_pcrread reads the same of all PCRs', async () => {
  await using one = await setup()

  const ours = await pcrsOf(one.tpm.device, ALL)

  const said = await one.tool('tpm2_pcrread', 'sha256')
  const theirs = [...said.matchAll(/^\s*(\d+)\s*: 0x([0-9A-F]{64})$/gm)].map(
    ([, pcr, value = '']) => [Number(pcr), value.toLowerCase()],
  )
  assert.is(theirs.length, 24)
  assert.equal(
    [...ours].map(([pcr, value]) => [pcr, value.toString('hex')]),
    theirs,
  )
})

test('the policies of PCRs and of a policy key are those that tpm2-tools compute', async () => {
  await using one = await setup()
  const { publicKey } = policyKey()
  const at = one.folder.at
  await writeFile(at('policy.pem'), publicKey.export({ type: 'spki', format: 'pem' }))
  const load = [
    '-C',
    'o',
    '-G',
    'ecc',
    '-u',
    at('policy.pem'),
    '-c',
    'policy.ctx',
    '-n',
    at('name'),
  ]
  await one.tool('tpm2_loadexternal', ...load)
  await one.tool('tpm2_startauthsession', '-S', at('session'))
  const pcrs = ['-S', at('session'), '-l', 'sha256:7,11', '-L', at('pcr.policy')]
  await one.tool('tpm2_policypcr', ...pcrs)
  const by = ['-n', at('name'), '-i', at('pcr.policy'), '-q', POLICY_REF.toString('hex')]
  await one.tool('tpm2_policyauthorize', '-S', at('session'), ...by, '-L', at('policy'))

  assert.equal(await readFile(at('name')), nameOf(policyKeyArea(publicKey)))
  assert.equal(await readFile(at('pcr.policy')), pcrPolicy(await pcrsOf(one.tpm.device, [7, 11])))
  assert.equal(await readFile(at('policy')), authorizePolicy(publicKey))
})

test('tpm2_readpublic gives a login key its name, its policy and its attributes', async () => {
  await using one = await setup()
  const at = one.folder.at
  await writeTpmKey(at('key.json'), one.tpm.device, { pcrs: [7, 11] })
  const key = await readTpmKeyFile(at('key.json'))
  await writeFile(at('public'), sized(key.blobs.publicArea))
  await writeFile(at('private'), sized(key.blobs.privateArea))
  const attributes = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt'
  await one.tool('tpm2_createprimary', '-C', 'o', '-G', 'ecc', '-a', attributes, '-c', at('root'))
  const load = ['-C', at('root'), '-u', at('public'), '-r', at('private'), '-c', at('key')]
  await one.tool('tpm2_load', ...load)

  const said = await one.tool('tpm2_readpublic', '-c', at('key'), '-f', 'pem', '-o', at('pem'))

  assert.match(said, `name: ${nameOf(key.blobs.publicArea).toString('hex')}`)
  assert.match(said, /value: fixedtpm\|fixedparent\|sensitivedataorigin\|noda\|sign\n/)
  const policy = pcrPolicy(await pcrsOf(one.tpm.device, [7, 11])).toString('hex')
  assert.match(said.toLowerCase(), `authorization policy: ${policy}`)
  assert.is(
    await readFile(at('pem'), 'utf8'),
    key.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  )
  const root = await one.tool('tpm2_readpublic', '-c', at('root'))
  assert.match(root, `name: ${key.parent.toString('hex')}`)
})

test('tpm2_sign cannot use a login key with a password, nor without its policy', async () => {
  await using one = await setup()
  const at = one.folder.at
  await writeTpmKey(at('key.json'), one.tpm.device, { pcrs: [7] })
  const { blobs } = await readTpmKeyFile(at('key.json'))
  await writeFile(at('public'), sized(blobs.publicArea))
  await writeFile(at('private'), sized(blobs.privateArea))
  await writeFile(at('text'), 'text')
  const attributes = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt'
  await one.tool('tpm2_createprimary', '-C', 'o', '-G', 'ecc', '-a', attributes, '-c', at('root'))
  const load = ['-C', at('root'), '-u', at('public'), '-r', at('private'), '-c', at('key')]
  await one.tool('tpm2_load', ...load)
  const sign = ['-c', at('key'), '-g', 'sha256', '-s', 'ecdsa', '-f', 'plain', '-o', at('signed')]
  const refusal = (work: Promise<string>) =>
    work.then(
      () => 'signed',
      (error: unknown) => String(error),
    )

  assert.match(
    await refusal(one.tpm.tool('tpm2_sign', ...sign, at('text'))),
    /0x12F|0x0000012[fF]/i,
  )
  await one.tpm.tool('tpm2_flushcontext', '-t')
  await one.tool('tpm2_startauthsession', '--policy-session', '-S', at('session'))
  await one.tool('tpm2_policypcr', '-S', at('session'), '-l', 'sha256:8')
  const under = ['-p', `session:${at('session')}`]
  assert.match(await refusal(one.tpm.tool('tpm2_sign', ...under, ...sign, at('text'))), /0x99d/i)
  await one.tpm.tool('tpm2_flushcontext', '-t')
  await one.tpm.tool('tpm2_flushcontext', '-l')
  await one.tool('tpm2_startauthsession', '--policy-session', '-S', at('session'))
  await one.tool('tpm2_policypcr', '-S', at('session'), '-l', 'sha256:7')
  assert.is(await refusal(one.tpm.tool('tpm2_sign', ...under, ...sign, at('text'))), 'signed')
  assert.ok((await readFile(at('signed'))).length > Buffer.alloc(63).length)
})

test.run()
