/** Mounts a secrets engine or a login method where it is not mounted. @module */

import * as v from 'valibot'
import type { Setup } from './input.ts'
import { unlessThere } from './shell.ts'
import type { SetupStep, StepFinding } from './step.ts'

interface Mount {
  readonly kind: 'secrets' | 'auth'
  readonly path: string
  readonly type: string
}

const KINDS = {
  secrets: { api: 'sys/mounts', called: 'engine', why: 'The engine that keeps the key.' },
  auth: { api: 'sys/auth', called: 'login', why: 'How the plugin logs in.' },
} as const
/** The path below which the service keeps all logins, so no engine may be mounted there. */
const LOGINS = ['auth/']
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
      // All mounts are read, since the answer for a missing one differs between versions.
      const all = await admin.read(api, mounts)
      if (all === undefined) {
        return {
          state: 'refused',
          detail: 'the namespace of the config is not there: make it first',
        }
      }
      const found = all[`${path}/`]
      if (found === undefined) return free(path, kind, Object.keys(all))
      if (found.type === type) return { state: 'ok', detail: '' }
      const detail = `type ${found.type} is mounted there: name another mount in the config`
      return { state: 'refused', detail }
    },
    async apply(admin) {
      await admin.write(`${api}/${path}`, { type }, v.unknown())
    },
    needs: () => [
      { path: `${api}/${path}`, capability: 'update', ...(kind === 'auth' ? { sudo: true } : {}) },
    ],
  }
}

/** No mount may be below another one. */
function free(path: string, kind: Mount['kind'], mounted: readonly string[]): StepFinding {
  const wanted = `${path}/`
  const taken = [...mounted, ...(kind === 'secrets' ? LOGINS : [])]
  const other = taken.find((each) => each.startsWith(wanted) || wanted.startsWith(each))
  if (other === undefined) return { state: 'make', detail: '' }
  const detail = `${other} is mounted above or below: name another mount in the config`
  return { state: 'refused', detail }
}
