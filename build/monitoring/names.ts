/**
 * The metrics that dashboard, rules and alerts may ask for, by name: a query is written with these,
 * so the compiler refuses one that names a metric which is not there.
 *
 * @module
 */

import { METRICS, type MetricName, type MetricOfKind } from '../../src/observe/metric_table.ts'

type Base = { readonly [Name in MetricName]: `trousseau_${Name}` }
type Parts = {
  readonly [Name in MetricOfKind<'histogram'> as `${Name}_${'bucket' | 'count' | 'sum'}`]: string
}

const names = Object.keys(METRICS)
const parts = ['bucket', 'count', 'sum'].flatMap((part) => names.map((name) => `${name}_${part}`))

/** The plugin's own. */
export const M = Object.fromEntries(
  [...names, ...parts].map((name) => [name, `trousseau_${name}`]),
) as unknown as Base & Parts

/** Of the process, by the Node client library. */
export const PROCESS = {
  cpu: 'process_cpu_seconds_total',
  memory: 'process_resident_memory_bytes',
  heap: 'nodejs_heap_size_used_bytes',
  files: 'process_open_fds',
  start: 'process_start_time_seconds',
} as const

/** Of `kube-apiserver`. */
export const API_SERVER = {
  transformations: 'apiserver_storage_transformation_operations_total',
  kmsDuration: 'apiserver_envelope_encryption_kms_operations_latency_seconds_bucket',
  keyIdStatus: 'apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds',
  keyIdUsed: 'apiserver_envelope_encryption_key_id_hash_total',
  sources: 'apiserver_envelope_encryption_dek_source_cache_size',
} as const
