/** Mounting a secrets engine or a login method, where it is not mounted. @module */

import * as v from 'valibot'
import type { Setup } from './vault_setup_input.ts'
import { unlessThere } from './vault_setup_shell.ts'
import type { SetupStep } from './vault_setup_step.ts'

export interface Mount {
  readonly kind: 'secrets' | 'auth'
  readonly path: string
  readonly type: string
}

const KINDS = {
  secrets: { api: 'sys/mounts', called: 'engine', why: 'The engine that keeps the key.' },
  auth: { api: 'sys/auth', called: 'login', why: 'How the plugin logs in.' },
} as const
const mounts = v.record(v.string(), v.object({ type: v.string() }))

export function mountStep({ cli }: Setup, { kind, path, type }: Mount): SetupStep {
  const { api, called, why } = KINDS[kind]
  return {
    what: `${type} ${called} at ${path}/`,
    why: [why],
    commands: [
      unlessThere([cli, 'read', `${api}/${path}`], [cli, kind, 'enable', `-path=${path}`, type]),
    ],
    async look(admin) {
      // All of them: the answer for one that is missing differs between versions.
      const found = (await admin.read(api, mounts))?.[`${path}/`]
      if (found === undefined) return { state: 'make', detail: '' }
      if (found.type === type) return { state: 'ok', detail: '' }
      const detail = `type ${found.type} is mounted there: name another mount in the config`
      return { state: 'refused', detail }
    },
    async apply(admin) {
      await admin.write(`${api}/${path}`, { type }, v.unknown())
    },
  }
}
