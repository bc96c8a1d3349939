/** Recording rules: what dashboard and alerts ask for more than once. @module */

import { M } from './names.ts'

interface RecordingRule {
  readonly record: string
  readonly expr: string
}

/** Of seconds in a histogram, the value that so many stay below. */
function quantile(of: number, by: string, bucket: string): string {
  return `histogram_quantile(${of}, sum by (${by}, le) (rate(${bucket}[5m])))`
}

export const RECORDED = {
  requests: 'trousseau:requests:rate5m',
  failures: 'trousseau:request_failures:ratio_rate5m',
  requestP99: 'trousseau:request_duration_seconds:p99_5m',
  callP99: 'trousseau:provider_call_duration_seconds:p99_5m',
  keyAge: 'trousseau:key_version_age_seconds',
} as const

/** Failures that say something of the plugin or its providers, and not of who asked. */
const OURS = 'code!~"ok|cancelled|request_invalid"'
const NO_STATUS = 'method=~"Encrypt|Decrypt"'
const WHERE = 'instance, endpoint'

export const RECORDING_RULES: readonly RecordingRule[] = [
  {
    record: RECORDED.requests,
    expr: `sum by (${WHERE}, method, code) (rate(${M.requests_total}[5m]))`,
  },
  {
    record: RECORDED.failures,
    expr:
      `(sum by (${WHERE}) (rate(${M.requests_total}{${NO_STATUS}, ${OURS}}[5m])) or sum by (${WHERE}) (rate(${M.requests_total}{${NO_STATUS}}[5m])) * 0)` +
      ` / sum by (${WHERE}) (rate(${M.requests_total}{${NO_STATUS}}[5m]))`,
  },
  {
    record: RECORDED.requestP99,
    expr: quantile(0.99, `${WHERE}, method`, M.request_duration_seconds_bucket),
  },
  {
    record: RECORDED.callP99,
    expr: quantile(0.99, 'instance, provider, operation', M.provider_call_duration_seconds_bucket),
  },
  {
    record: RECORDED.keyAge,
    expr: `time() - ${M.key_version_created_timestamp_seconds}`,
  },
]
