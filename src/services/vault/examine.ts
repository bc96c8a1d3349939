/**
 * What an operator should know of a transit key and of a token's rights. Rights that the token
 * should not have are only tried by reading: no request is made that would export, change or delete
 * a key.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import * as v from 'valibot'
import type { Remark } from '../../base/provider.ts'
import type { VaultReply, VaultRequest } from './api.ts'
import type { TransitPlace } from './settings.ts'

interface Asking {
  read<T extends v.GenericSchema>(request: VaultRequest<T>): Promise<VaultReply<v.InferOutput<T>>>
  /** The status of a GET; the rest of the answer is not read. */
  statusOf(path: string): Promise<number>
}

const flag = v.optional(v.boolean(), false)
const settings = v.object({
  data: v.object({
    deletion_allowed: flag,
    exportable: flag,
    allow_plaintext_backup: flag,
    auto_rotate_period: v.optional(v.union([v.number(), v.string()]), 0),
    min_decryption_version: v.number(),
    keys: v.record(v.string(), v.unknown()),
  }),
})
type Settings = v.InferOutput<typeof settings>['data']

const REFUSED = 403

export async function examineTransit(place: TransitPlace, asking: Asking): Promise<Remark[]> {
  const { mount, key } = place
  const path = `${mount}/keys/${key}`
  const { body } = await asking.read({ method: 'GET', path, schema: settings })
  const allowed = async (tried: string) => (await asking.statusOf(tried)) !== REFUSED
  const other = `${mount}/keys/trousseau-doctor-${randomBytes(6).toString('hex')}`
  const policy = policyRemarks(mount)
  return [
    ...keyRemarks(body.data, path),
    ...((await allowed('sys/mounts')) ? [policy.administrator] : []),
    ...((await allowed(other)) ? [policy.otherKeys] : []),
    ...((await allowed(`${mount}/keys?list=true`)) ? [policy.listedKeys] : []),
  ]
}

function keyRemarks(key: Settings, path: string): Remark[] {
  const when = (holds: boolean, remark: Remark) => (holds ? [remark] : [])
  return [
    ...when(key.deletion_allowed, {
      id: 'key-deletable',
      level: 'warning',
      what: `Key ${path} may be deleted (deletion_allowed)`,
      why: 'Whoever deletes it makes every Secret unreadable, for good.',
      todo: `vault write ${path}/config deletion_allowed=false`,
    }),
    ...when(key.exportable || key.allow_plaintext_backup, {
      id: 'key-exportable',
      level: 'warning',
      what: `Key ${path} may be taken out (exportable, allow_plaintext_backup)`,
      why: 'Whoever may export it decrypts a stolen etcd without asking the key service. It cannot be turned off again.',
      todo: 'Make a new key without it, and move to that: docs/migration.md',
    }),
    ...when(Number.parseInt(String(key.auto_rotate_period), 10) === 0, {
      id: 'key-not-rotated',
      level: 'notice',
      what: `Key ${path} is not rotated by itself (auto_rotate_period)`,
      why: 'Kubernetes recommends a new key version at least every 90 days.',
      todo: `vault write ${path}/config auto_rotate_period=2160h, or rotate by hand: docs/runbooks/rotate.md`,
    }),
    ...when(key.min_decryption_version > 1, {
      id: 'key-old-versions-closed',
      level: 'notice',
      what: `Key ${path} opens nothing older than version ${key.min_decryption_version}`,
      why: 'Objects and backups that older versions wrapped cannot be read.',
      todo: 'See with "trousseau scan" that none is left, in backups too; otherwise lower min_decryption_version.',
    }),
  ]
}

/** What the token may do beside its own. */
function policyRemarks(mount: string) {
  const todo = 'Give the role the policy that "trousseau vault policy" prints, and no other.'
  return {
    administrator: {
      id: 'policy-administrator',
      level: 'error',
      what: 'The login may read sys/mounts, as an administrator may',
      why: 'Whoever gets the credentials of one node owns the key service.',
      todo,
    },
    otherKeys: {
      id: 'policy-other-keys',
      level: 'warning',
      what: `The login may read other keys of ${mount}`,
      why: "A policy with a wildcard lets one cluster use another one's key.",
      todo,
    },
    listedKeys: {
      id: 'policy-lists-keys',
      level: 'notice',
      what: `The login may list the keys of ${mount}`,
      why: 'The plugin never does.',
      todo,
    },
  } as const satisfies Readonly<Record<string, Remark>>
}
