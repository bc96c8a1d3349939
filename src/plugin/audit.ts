/** The audit stream of the plugin, and the key that signs its heads. @module */

import { hostname } from 'node:os'
import type { Clock } from '../base/clock.ts'
import type { EventSink } from '../base/events.ts'
import { keyFingerprint } from '../base/key_fingerprint.ts'
import type { Config } from '../config/schema.ts'
import { createAudit } from '../observe/audit/audit.ts'
import { HEAD_TYPE, type HeadSigner } from '../observe/audit/head.ts'
import type { AuditStream } from '../observe/audit/stream.ts'
import type { LoginKeyPlace } from '../remote/assertion.ts'
import { descriptorOf } from '../services/registry.ts'
import { VERSION } from './version.ts'

/** The writer gives up before this. */
const SIGN_MS = 5_000

interface AuditDeps {
  readonly clock: Clock
  readonly events: EventSink
}

export function startAudit(
  audit: NonNullable<Config['audit']>,
  config: Config,
  { clock, events }: AuditDeps,
): AuditStream {
  const { signingKeyFile } = audit
  const own = signingKeyFile === undefined ? undefined : { keyFile: signingKeyFile }
  const place = own ?? loginKeyOf(config)
  const field = own === undefined ? undefined : 'audit.signingKeyFile'
  const signer = place && signerOf(place, field, clock)
  return createAudit(audit, { clock, events, version: VERSION, node: hostname(), signer })
}

function loginKeyOf({ providers }: Config): LoginKeyPlace | undefined {
  const [first] = providers.flatMap((each) => descriptorOf(each).loginKey?.(each) ?? [])
  return first
}

/** The key is read each time, since it may be replaced while the plugin runs. */
function signerOf(place: LoginKeyPlace, field: string | undefined, clock: Clock): HeadSigner {
  return async () => {
    const { assertionKeyOf } = await import('../remote/assertion.ts')
    const key = await assertionKeyOf(place, clock, field)
    return {
      key: keyFingerprint(key.publicKey),
      sign: (claims, signal) => {
        const header = { alg: key.algorithm, typ: HEAD_TYPE }
        return key.sign({ header, claims }, { signal, deadline: clock.monotonic() + SIGN_MS })
      },
    }
  }
}
