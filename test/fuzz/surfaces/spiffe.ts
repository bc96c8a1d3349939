/** What a SPIFFE agent answers: JWT-SVIDs, messages that are none, and statuses. @module */

import { Buffer } from 'node:buffer'
import { create, toBinary } from '@bufbuild/protobuf'
import { status } from '@grpc/grpc-js'
import * as v from 'valibot'
import { withinLimit } from '../../../src/base/call.ts'
import { fetchSvids } from '../../../src/grpc/spiffe.ts'
import { JWTSVIDResponseSchema } from '../../../src/grpc/spiffe_pb.ts'
import { fetchSvid, svidConfig } from '../../../src/remote/jwt_svid.ts'
import { SPIFFE_ID } from '../../_lib/remote/fake_spiffe.ts'
import { DrivenClock } from '../engine/driven_clock.ts'
import { PlayedAgent } from '../engine/played_agent.ts'
import { jsonMutator } from '../mutate/json.ts'
import { mutateProtobuf } from '../mutate/protobuf.ts'
import { bytesOf, type Surface, type Target, textOf } from '../surface.ts'

const LIMIT_MS = 2_500
const AUDIENCE = 'vault'
const BRACE = 0x7b

const asJson = jsonMutator(
  [SPIFFE_ID, AUDIENCE, 'ES256', 'none', 1_900_000_000, 7, 14, 16, 'connect ENOENT', 'EACCES'],
  ['spiffeId', 'header', 'claims', 'jwt', 'kid', 'alg', 'crit', 'sub', 'aud', 'exp', 'nbf', 'code'],
)

/** What begins with a brace is an answer in JSON, and anything else a message's bytes. */
export const spiffe: Surface = {
  name: 'spiffe',
  from: 'a SPIFFE agent, and whoever listens on its socket',
  files: ['remote/jwt_svid.ts', 'grpc/spiffe.ts'],
  mutate: (input, other, random) =>
    (input[0] === BRACE ? asJson : mutateProtobuf)(input, other, random),
  open,
}

const ONE = {
  spiffeId: SPIFFE_ID,
  header: { alg: 'ES256', kid: 'one', typ: 'JWT' },
  claims: { sub: SPIFFE_ID, aud: [AUDIENCE], exp: 1_900_000_000, iat: 1_799_999_000, jti: 'j' },
}
const ANSWERS = [
  { svids: [ONE] },
  { svids: [{ ...ONE, spiffeId: 'spiffe://example.org/other' }, ONE] },
  { svids: [{ spiffeId: SPIFFE_ID, jwt: 'a.b.c' }] },
  { svids: [] },
  { code: status.PERMISSION_DENIED, details: 'no identity issued' },
  { code: status.UNAVAILABLE, details: 'No connection established. Last error: connect ENOENT' },
  { silence: true },
]
const CONFIGS = [{}, { id: SPIFFE_ID }].map((more) =>
  v.parse(svidConfig, { socket: 'unix:///run/spire/agent.sock', audience: AUDIENCE, ...more }),
)

function open(): Promise<Target> {
  const agent = new PlayedAgent()
  const texts = ANSWERS.map((answer) => bytesOf(JSON.stringify(answer)))
  return Promise.resolve({
    seeds: [...texts, messageOf({ svids: [ONE] })],
    async run(input) {
      agent.answer = answerIn(input)
      for (const config of CONFIGS) {
        const clock = new DrivenClock()
        const asked = withinLimit(clock, LIMIT_MS, (call) =>
          fetchSvid(config, { clock, fetchSvids }, call),
        )
        const { jwt, fingerprint } = await clock.drive(asked)
        if (typeof jwt !== 'string' || fingerprint.length === 0) throw new TypeError('No SVID')
      }
    },
    [Symbol.asyncDispose]() {
      agent[Symbol.dispose]()
      return Promise.resolve()
    },
  })
}

function answerIn(input: Uint8Array): PlayedAgent['answer'] {
  const { code, details, silence, svids } = parsed(input) ?? {}
  if (silence === true) return undefined
  if (typeof code === 'number') return { code, details: wellFormed(details) }
  return { bytes: Array.isArray(svids) ? messageOf({ svids }) : Buffer.from(input) }
}

function messageOf({ svids }: { readonly svids: readonly unknown[] }): Buffer {
  const listed = svids.map((each) => {
    const { spiffeId, header, claims, jwt } = Object(each)
    const made = `${partOf(header)}.${partOf(claims)}.${partOf('signature')}`
    return { spiffeId: wellFormed(spiffeId), svid: wellFormed(jwt ?? made) }
  })
  const message = create(JWTSVIDResponseSchema, { svids: listed })
  return Buffer.from(toBinary(JWTSVIDResponseSchema, message))
}

/** Protobuf has no other text. */
function wellFormed(value: unknown): string {
  return (typeof value === 'string' ? value : (JSON.stringify(value) ?? '')).toWellFormed()
}

function partOf(value: unknown): string {
  return Buffer.from(JSON.stringify(value) ?? '').toString('base64url')
}

function parsed(input: Uint8Array): Record<string, unknown> | undefined {
  try {
    return Object(JSON.parse(textOf(input)))
  } catch {
    return undefined
  }
}
