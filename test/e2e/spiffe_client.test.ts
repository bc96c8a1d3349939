/**
 * SPIFFE's own client against the fake agent, to show that the fake, with which our client is
 * tested, follows the standard.
 *
 * @module
 */

import { writeFile } from 'node:fs/promises'
import { status } from '@grpc/grpc-js'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { reportOf } from '../_lib/go/program.ts'
import { type FakeSpiffe, SPIFFE_ID, startFakeSpiffe } from '../_lib/remote/fake_spiffe.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const OTHER_ID = 'spiffe://example.org/other'
const report = v.object({
  ok: v.boolean(),
  error: v.optional(v.string()),
  code: v.string(),
  bareCode: v.string(),
  svids: v.array(
    v.object({
      id: v.string(),
      audience: v.array(v.string()),
      expiry: v.string(),
      hint: v.string(),
    }),
  ),
})

const test = suite('e2e/spiffe_client', () => ({}))

async function asked(
  { address, agent }: FakeSpiffe,
  folder: TempFolder,
  id = '',
): Promise<v.InferOutput<typeof report>> {
  const jwks = folder.at('jwks.json')
  await writeFile(jwks, agent.jwks())
  const args = ['-address', address, '-audience', 'vault', '-id', id, '-jwks', jwks]
  return v.parse(report, await reportOf('spiffe_client', args))
}

test('go-spiffe takes the fake agent: all identities in order, or the one that it asks for, proven by the JWKS', async () => {
  await using folder = await tempFolder()
  await using spiffe = await startFakeSpiffe(folder.at('agent.sock'))
  spiffe.agent.identities = [SPIFFE_ID, OTHER_ID]
  spiffe.agent.hints = { [OTHER_ID]: 'external' }

  const all = await asked(spiffe, folder)
  const one = await asked(spiffe, folder, OTHER_ID)

  assert.is(all.error, undefined)
  assert.equal(
    all.svids.map(({ id, audience, hint }) => [id, audience, hint]),
    [
      [SPIFFE_ID, ['vault'], ''],
      [OTHER_ID, ['vault'], 'external'],
    ],
  )
  assert.is(one.error, undefined)
  assert.equal(
    one.svids.map(({ id }) => id),
    [OTHER_ID],
  )
})

test('go-spiffe takes SVIDs of a new key by the new JWKS, and none of a key that is not in it', async () => {
  await using folder = await tempFolder()
  await using spiffe = await startFakeSpiffe(folder.at('agent.sock'))
  spiffe.agent.rotateKeys()

  const rotated = await asked(spiffe, folder)
  spiffe.agent.rotateKeys({ publish: false })
  const unknown = await asked(spiffe, folder)

  assert.is(rotated.error, undefined)
  assert.is(rotated.svids.length, 1)
  assert.match(unknown.error ?? '', /no JWT authority/)
})

test('the fake agent refuses go-spiffe without the header, and a workload without an identity, as the standard says', async () => {
  await using folder = await tempFolder()
  await using spiffe = await startFakeSpiffe(folder.at('agent.sock'))

  const good = await asked(spiffe, folder)
  spiffe.agent.identities = []
  const nobody = await asked(spiffe, folder)
  spiffe.agent.refusal = { code: status.UNAVAILABLE, details: 'starting' }
  const starting = await asked(spiffe, folder)

  assert.is(good.bareCode, 'InvalidArgument')
  assert.is(nobody.code, 'PermissionDenied')
  assert.is(starting.code, 'Unavailable')
})

test('go-spiffe refuses the SVIDs of an agent that lies: another audience, an SVID that has expired', async () => {
  await using folder = await tempFolder()
  await using spiffe = await startFakeSpiffe(folder.at('agent.sock'))
  const { agent } = spiffe
  const past = Math.floor(Date.now() / 1000) - 3_600

  agent.answer = async () => ({
    svids: [{ spiffeId: SPIFFE_ID, svid: await agent.sign(SPIFFE_ID, ['somebody-else']) }],
  })
  const elsewhere = await asked(spiffe, folder)
  agent.answer = async () => ({
    svids: [{ spiffeId: SPIFFE_ID, svid: await agent.sign(SPIFFE_ID, ['vault'], { exp: past }) }],
  })
  const expired = await asked(spiffe, folder)

  assert.match(elsewhere.error ?? '', /expected audience/)
  assert.match(expired.error ?? '', /expired/)
})

test.run()
