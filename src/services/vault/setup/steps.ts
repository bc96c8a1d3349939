/** The steps of setting up a key service that all logins share, in their order. @module */

import * as v from 'valibot'
import { commandLine, word } from '../../../base/shell.ts'
import { VaultStatusError } from '../api.ts'
import { succeeded, trialItem } from '../binding.ts'
import {
  batchAnswer,
  encryptItem,
  faultOf,
  keyAnswer,
  type TransitKey,
  versionsOf,
} from '../transit.ts'
import type { Body, VaultAdmin } from './admin.ts'
import { authSteps } from './auth.ts'
import type { Setup } from './input.ts'
import { mountStep } from './mount.ts'
import { policyText, samePolicy } from './policy.ts'
import { whereThere, writeCommand } from './shell.ts'
import type { SetupStep } from './step.ts'

const KEY: Body = {
  type: 'aes256-gcm96',
  derived: false,
  exportable: false,
  allow_plaintext_backup: false,
}
const NO_UPSERT: Body = { disable_upsert: true }
const NO_SUCH_SETTING = 'this version of the service has no such setting; the policy makes no keys'

const existingKey = v.object({
  ...keyAnswer.entries.data.entries,
  exportable: v.optional(v.boolean(), false),
  allow_plaintext_backup: v.optional(v.boolean(), false),
  deletion_allowed: v.optional(v.boolean(), false),
})
const keysConfig = v.object({ disable_upsert: v.optional(v.boolean(), false) })
const mounts = v.record(v.string(), v.unknown())
const storedPolicy = v.object({ policy: v.string() })

export function setupSteps(setup: Setup): readonly SetupStep[] {
  const { mount } = setup.input
  return [
    mountStep(setup, { kind: 'secrets', path: mount, type: 'transit' }),
    keyStep(setup),
    upsertStep(setup),
    policyStep(setup),
    ...authSteps(setup),
  ]
}

function keyStep({ cli, input: { mount, key } }: Setup): SetupStep {
  const path = `${mount}/keys/${key}`
  return {
    what: `key ${path}`,
    why: [
      'The key, which nobody may export; one that exists stays as it is. Back the key service up:',
      'this key is the way to every Secret.',
    ],
    commands: [writeCommand(cli, path, KEY)],
    async look(admin) {
      const found = await admin.read(path, existingKey)
      if (found === undefined) return { state: 'make', detail: String(KEY['type']) }
      const fault = faultOf(found)
      if (fault === undefined) {
        const heeds = await heedsAssociatedData(admin, `${mount}/encrypt/${key}`, found)
        return { state: 'ok', detail: [found.type, ...risksOf(found), ...heeds].join(', ') }
      }
      return { state: 'refused', detail: `it ${fault}: name another key in the config` }
    },
    async apply(admin) {
      await admin.write(path, KEY, v.unknown())
    },
    needs: () => [{ path, capability: 'update' }],
  }
}

/** Tested by encrypting a zero byte, which changes nothing; returns nothing where all is well. */
async function heedsAssociatedData(
  admin: VaultAdmin,
  path: string,
  key: TransitKey,
): Promise<string[]> {
  const version = Number(versionsOf(key).at(-1)?.label)
  const items = [encryptItem(version, Uint8Array.of(0), undefined), trialItem(version)]
  const body = { batch_input: items, partial_failure_response_code: 200 }
  const [, trial = {}] = (await admin.write(path, body, batchAnswer)).data.batch_results
  return succeeded(trial)
    ? [
        'but the service ignores associated data, as Vault before 1.13 does: wraps will be bound inside their plaintext',
      ]
    : []
}

/** Settings that only the operator may change, two of which cannot be undone. */
function risksOf(key: v.InferOutput<typeof existingKey>): string[] {
  const risks: string[] = []
  if (key.exportable) risks.push('but exportable: who may export it reads every Secret')
  if (key.allow_plaintext_backup) risks.push('but a plaintext backup of it may be made')
  if (key.deletion_allowed) risks.push('but deletion_allowed is on')
  return risks
}

/**
 * Vault has the setting since 1.13; whether a server has it can be seen once the engine is mounted.
 */
function upsertStep({ cli, input: { mount } }: Setup): SetupStep {
  const path = `${mount}/config/keys`
  return {
    what: path,
    why: [
      'Nobody makes a key by encrypting under a misspelt name. This holds for all keys of the mount.',
      'Left out where it cannot be read: Vault before 1.13 has no such setting.',
    ],
    commands: [whereThere([cli, 'read', path], writeCommand(cli, path, NO_UPSERT))],
    async look(admin) {
      const found = await admin.read(path, keysConfig)
      if (found?.disable_upsert === true) return { state: 'ok', detail: 'disable_upsert=true' }
      if (found === undefined && (await admin.read('sys/mounts', mounts))?.[`${mount}/`]) {
        return { state: 'ok', detail: NO_SUCH_SETTING }
      }
      return { state: 'change', detail: 'disable_upsert=true, for all keys of this mount' }
    },
    async apply(admin) {
      try {
        await admin.write(path, NO_UPSERT, v.unknown())
      } catch (error) {
        // This is known only once the engine exists.
        if (!(error instanceof VaultStatusError) || error.status !== 404) throw error
      }
    },
    needs: () => [{ path, capability: 'update' }],
  }
}

/**
 * Uses the names of an earlier version where it set up exactly the same under them.
 *
 * @returns the name of the policy
 */
export async function nameInUse(setup: Setup, admin: VaultAdmin): Promise<string | undefined> {
  const { input, policyName, olderName } = setup
  if (olderName === undefined) return undefined
  const read = (name: string) => admin.read(policyPath(name), storedPolicy)
  if ((await read(policyName)) !== undefined) return undefined
  const older = await read(olderName)
  return older !== undefined && samePolicy(older.policy, policyText(input)) ? olderName : undefined
}

function policyPath(name: string): string {
  return `sys/policies/acl/${name}`
}

function policyStep(setup: Setup): SetupStep {
  const { cli, input, policyName, replacePolicy } = setup
  const path = policyPath(policyName)
  const text = policyText(input)
  const read = [cli, 'policy', 'read', policyName].map(word).join(' ')
  return {
    what: `policy ${policyName}`,
    why: ['What the plugin may do, and nothing more: as above.'],
    guard: policyGuard(setup, read, text),
    commands: [`policy | ${commandLine([cli, 'policy', 'write', policyName, '-'])}`],
    async look(admin) {
      const found = await admin.read(path, storedPolicy)
      if (found === undefined) return { state: 'make', detail: '' }
      if (samePolicy(found.policy, text)) return { state: 'ok', detail: '' }
      if (replacePolicy) return { state: 'change', detail: 'replaces one that says something else' }
      return {
        state: 'refused',
        detail: `one of this name says something else (${read}): --replace-policy replaces it, --policy-name names another`,
      }
    },
    async apply(admin) {
      await admin.write(path, { policy: text }, v.unknown())
    },
    needs: () => [{ path, capability: 'update' }],
  }
}

function policyGuard({ cli, policyName, olderName }: Setup, read: string, text: string): string[] {
  const differs = `policy ${policyName} is there and says something else (${read}). Of another cluster? --policy-name names another`
  const older = `an earlier version called the policy ${olderName}: go on with --policy-name ${olderName}`
  const ofOlder =
    olderName === undefined
      ? []
      : [
          `elif there ${commandLine([cli, 'policy', 'read', olderName])} && same; then`,
          `  stop ${word(older)}`,
        ]
  return [
    `policy() {\n  cat <<'POLICY'\n${text}POLICY\n}`,
    [`if there ${read}; then`, `  same || stop ${word(differs)}`, ...ofOlder, 'fi'].join('\n'),
  ]
}
