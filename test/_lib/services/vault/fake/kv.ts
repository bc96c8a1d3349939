/** Reads of the key-value engine, version 1 and 2. @module */

import { failure, type Reply, success } from './reply.ts'
import type { KvVersion } from './state.ts'

const MONTH_SECONDS = 2_764_800

export function readKv1(versions: readonly KvVersion[] | undefined): Reply {
  const latest = versions?.at(-1)
  if (latest === undefined) return failure(404)
  return success({ data: latest.data }, { leaseDuration: MONTH_SECONDS })
}

/** @param wanted the `version` of the query; the newest where absent */
export function readKv2(versions: readonly KvVersion[] | undefined, wanted: string | null): Reply {
  const count = versions?.length ?? 0
  const version = Number(wanted ?? 0) === 0 ? count : Number(wanted)
  const found = versions?.[version - 1]
  if (found === undefined) return failure(404)
  const { data, createdAt, deletedAt } = found
  const metadata = {
    created_time: createdAt,
    custom_metadata: null,
    deletion_time: deletedAt,
    destroyed: false,
    version,
  }
  if (deletedAt === '') return success({ data: { data, metadata } })
  return success({ data: { data: null, metadata } }, { status: 404 })
}

/** For a path below a mount of version 2 that is none of its own. */
export function wrongKv2Path(): Reply {
  const text =
    "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. If using the OpenBao CLI, use 'bao kv get' for this operation."
  return success({}, { status: 404, warnings: [text] })
}
