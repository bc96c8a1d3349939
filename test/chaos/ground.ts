/**
 * What histories of one process share: the real key service, a role and an engine for each lane,
 * and certificates. Each history has keys of its own.
 *
 * @module
 */

import { Agent } from 'node:http'
import { policyText } from '../../src/services/vault/setup/policy.ts'
import { makeAuthority, makeCertificate } from '../_lib/remote/certificates.ts'
import { type OpenBao, startOpenBao, type Transit } from '../_lib/services/vault/openbao.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import type { Certificates } from './proxy.ts'
import { VirtualTime } from './virtual_time.ts'

const DAY_MS = 86_400_000
/** How much faster time runs for plugins in this process. */
const SPEED = 5

export interface Ground extends AsyncDisposable {
  readonly bao: OpenBao
  readonly agent: Agent
  readonly certificates: Certificates
  readonly caFile: string
  /** Faster than the machine's. */
  readonly fast: VirtualTime
  /** The machine's. */
  readonly real: VirtualTime
  /** An engine and a role that one history after the other uses. */
  lane(name: string): Promise<Lane>
}

export interface Lane extends AsyncDisposable {
  readonly folder: TempFolder
  readonly transit: Transit
}

export async function makeGround(): Promise<Ground> {
  const folder = await tempFolder()
  const bao = await startOpenBao()
  const authority = await makeAuthority(folder.path, 'ca')
  const other = await makeAuthority(folder.path, 'other')
  const ended = { from: Date.now() - 2 * DAY_MS, to: Date.now() - DAY_MS }
  const certificates = {
    good: await makeCertificate(folder.path, 'good', authority),
    'other authority': await makeCertificate(folder.path, 'foreign', other),
    'ended certificate': await makeCertificate(folder.path, 'ended', authority, ended),
  }
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  return {
    ...{ bao, agent, certificates, caFile: authority.cert },
    fast: new VirtualTime(Date.now(), SPEED),
    real: new VirtualTime(Date.now(), 1),
    lane: (name) => makeLane(bao, name),
    async [Symbol.asyncDispose]() {
      agent.destroy()
      await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

async function makeLane(bao: OpenBao, name: string): Promise<Lane> {
  const folder = await tempFolder()
  // Wrong answers are made of those of this key; the role has its name.
  const key = `another-${name}`
  const transit = await bao.setupTransit({ folder: folder.path, mount: name, key })
  const policy = policyText({ mount: name, key, auth: { method: 'approle', mount: 'approle' } })
  // The policy that the product prints, for every key of the engine.
  await bao.request('POST', `sys/policies/acl/${transit.policy}`, {
    policy: policy.replaceAll(`/${key}"`, '/*"'),
  })
  // One history after the other has its logins refused, and a role would be locked for minutes.
  await bao.request('POST', 'sys/auth/approle/tune', {
    user_lockout_config: { lockout_disable: true },
  })
  return { folder, transit, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() }
}
