/**
 * Every metric of the plugin's own: name, kind, meaning and labels. `metrics.ts` makes them of this
 * table; the one in docs/observability.md, dashboard, rules and alerts are made of it too, so that
 * none of them names a metric that is not there.
 *
 * @module
 */

import { KMS_ERROR_CODES } from '../base/errors.ts'
import type { HealthState } from '../base/events.ts'

export const STATES: readonly HealthState[] = ['starting', 'ok', 'degraded', 'held', 'failed']

/** What the labels of a process are bounded by. */
interface MetricScene {
  readonly endpoints: number
  readonly providers: number
}

interface MetricLabel {
  /** What it may be, for the page. */
  readonly values: string
  /** How many values it has at once. */
  readonly most: (scene: MetricScene) => number
}

const few = (most: number) => () => most
/** The config takes no more. */
const MAX_RULES = 128

export const METRIC_LABELS = {
  endpoint: {
    values:
      'the names of the config; `default` where it has one `socket`; `signer` for its ServiceAccount tokens',
    most: ({ endpoints }) => endpoints + 1,
  },
  provider: {
    values: 'the names of the config; `signer` for the key of its signer',
    most: ({ providers }) => providers + 1,
  },
  api: { values: '`v2`, `v1beta1`, `externaljwt`', most: few(3) },
  method: {
    values:
      '`Status`, `Version`, `Encrypt`, `Decrypt`, `Sign`, `FetchKeys`, `Metadata`; of a token the login method of the provider',
    most: few(7),
  },
  code: { values: '`ok`, or an error code below', most: few(KMS_ERROR_CODES.length + 1) },
  operation: { values: '`key_state`, `wrap`, `unwrap`, `sign`', most: few(4) },
  state: {
    values: `${STATES.map((state) => `\`${state}\``).join(', ')}; of a rule \`passes\`, \`refuses\`, \`undecided\`, \`waived\`, \`by_request\``,
    most: few(STATES.length),
  },
  rule: { values: 'the names of the rules in the config', most: few(MAX_RULES) },
  mode: { values: '`enforce`, `audit`', most: few(2) },
  outcome: {
    values:
      '`refused`, `would_refuse`, `undecided`, `waived`; of spans `sent`, `dropped`; of audit records `written`, `lost`',
    most: few(4),
  },
  key_id_hash: { values: 'of an endpoint the one that is answered now', most: few(1) },
  kid: { values: 'the name of the key that signs', most: few(1) },
  version: {
    values:
      'of a provider the one that encrypts, or waits to; of the signer the one that signs; in `build_info` the program’s',
    most: few(1),
  },
  action: { values: '`login`, `renew`', most: few(2) },
  kind: { values: '`server`, `authority`, `client`', most: few(3) },
  reason: { values: '`slow`, `failed`', most: few(2) },
  result: { values: '`applied`, `refused`, `unchanged`', most: few(3) },
  fate: { values: '`held`, `dropped`', most: few(2) },
  quantile: { values: '`0.5`, `0.99`, `1`', most: few(3) },
  runtime: { values: 'one', most: few(1) },
} as const satisfies Readonly<Record<string, MetricLabel>>
type LabelName = keyof typeof METRIC_LABELS

interface MetricRow {
  readonly kind: 'counter' | 'gauge' | 'histogram'
  /** Whole: it is the help text, and the text of the page. */
  readonly about: string
  readonly labels: readonly LabelName[]
  /** Of a histogram. */
  readonly buckets?: readonly number[]
}

const SECONDS = [
  0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
]
const ITEMS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]

/** By name, which has `trousseau_` before it. */
export const METRICS = {
  requests_total: {
    kind: 'counter',
    about: 'Requests of API servers by outcome',
    labels: ['endpoint', 'api', 'method', 'code'],
  },
  request_duration_seconds: {
    kind: 'histogram',
    about: 'How long requests of API servers took, in buckets from 0.25 ms to 10 s',
    labels: ['endpoint', 'api', 'method'],
    buckets: SECONDS,
  },
  provider_calls_total: {
    kind: 'counter',
    about:
      'Calls to the key service by outcome; the health loop makes one of each operation every `health.interval`',
    labels: ['provider', 'operation', 'code'],
  },
  provider_items_total: {
    kind: 'counter',
    about: 'Items in those calls',
    labels: ['provider', 'operation'],
  },
  provider_call_duration_seconds: {
    kind: 'histogram',
    about: 'How long those calls took',
    labels: ['provider', 'operation'],
    buckets: SECONDS,
  },
  provider_batch_items: {
    kind: 'histogram',
    about: 'How many items one call has, in buckets from 1 to 1,024; not of `key_state`',
    labels: ['provider', 'operation'],
    buckets: ITEMS,
  },
  coalesced_items_total: {
    kind: 'counter',
    about:
      'Unwraps that were not sent, because an equal one was waiting or under way and its answer served both',
    labels: ['provider'],
  },
  hedged_requests_total: {
    kind: 'counter',
    about:
      'Unwraps that this provider was asked for in addition, because one before it was slow or had failed',
    labels: ['provider', 'reason'],
  },
  health_state: {
    kind: 'gauge',
    about:
      '1 for the one that the endpoint is in; `degraded`: fewer providers wrap than the config says; `held`: a provider that should wrap is away, Status keeps the last key id',
    labels: ['endpoint', 'state'],
  },
  degraded_since_timestamp_seconds: {
    kind: 'gauge',
    about: 'Since when fewer providers wrap than the config says; absent where all do',
    labels: ['endpoint'],
  },
  hold_left_seconds: {
    kind: 'gauge',
    about: 'How much longer Status stays ok in an outage; 0 where there is none',
    labels: ['endpoint'],
  },
  last_success_timestamp_seconds: {
    kind: 'gauge',
    about: 'When all providers that write last were as they should be',
    labels: ['endpoint'],
  },
  provider_healthy: {
    kind: 'gauge',
    about: '1 where the provider answers as it should',
    labels: ['provider'],
  },
  key_id_info: {
    kind: 'gauge',
    about:
      'Always 1; names the key id by its hash, as `apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds` of API servers does',
    labels: ['endpoint', 'key_id_hash'],
  },
  key_version_info: {
    kind: 'gauge',
    about: 'Always 1; names the key version that encrypts',
    labels: ['provider', 'version'],
  },
  key_version_created_timestamp_seconds: {
    kind: 'gauge',
    about:
      'When the key version that encrypts was made, and so how old it is; absent where the key service does not tell',
    labels: ['provider', 'version'],
  },
  key_version_switch_timestamp_seconds: {
    kind: 'gauge',
    about: 'When a newer key version takes over; absent where none waits',
    labels: ['provider', 'version'],
  },
  token_expiry_timestamp_seconds: {
    kind: 'gauge',
    about: 'When the token in use expires; absent where it does not, or does not tell',
    labels: ['provider'],
  },
  token_operations_total: {
    kind: 'counter',
    about: 'Logins and renewals by outcome',
    labels: ['provider', 'action', 'method', 'code'],
  },
  certificate_expiry_timestamp_seconds: {
    kind: 'gauge',
    about:
      'When a certificate ends: of the service (`server`), of the authority in `tls.caFile` or `tls.caDir` that vouches for it (`authority`; none on the system’s own authorities), of this node (`client`)',
    labels: ['provider', 'kind'],
  },
  config_reloads_total: {
    kind: 'counter',
    about: 'Looks at a config file that changed, or that somebody asked to be read again',
    labels: ['result'],
  },
  config_last_reload_successful: {
    kind: 'gauge',
    about: '0 while the config file is one that was refused, and the one before is in force',
    labels: [],
  },
  log_lines_lost_total: {
    kind: 'counter',
    about:
      'Lines that are not in the log: `held` back because equal ones came before, or `dropped` because nobody took them',
    labels: ['fate'],
  },
  audit_records_total: {
    kind: 'counter',
    about:
      'Records of the audit stream: `written`, or `lost` because nobody took them; absent without `audit`',
    labels: ['outcome'],
  },
  event_loop_delay_seconds: {
    kind: 'gauge',
    about:
      'How long the process was held up, since the scrape before; absent without `admin.runtimeMetrics`',
    labels: ['quantile'],
  },
  policy_rule_info: {
    kind: 'gauge',
    about:
      '1 for the state of each rule; `by_request`: it depends on the request too; absent without rules, as the next two',
    labels: ['rule', 'mode', 'state'],
  },
  policy_results_total: {
    kind: 'counter',
    about: 'Uses of keys for which a rule did not pass, by outcome',
    labels: ['rule', 'mode', 'outcome', 'operation'],
  },
  policy_waiver_expiry_timestamp_seconds: {
    kind: 'gauge',
    about: 'When the waiver in force ends; absent where there is none',
    labels: [],
  },
  trace_spans_total: {
    kind: 'counter',
    about:
      'Spans that the collector took (`sent`), or that were `dropped` because it did not; absent without `traces`',
    labels: ['outcome'],
  },
  signer_healthy: {
    kind: 'gauge',
    about:
      '1 where the key that signs ServiceAccount tokens is as it should be and can be reached; absent without `signer`, as the next three',
    labels: [],
  },
  signer_key_info: {
    kind: 'gauge',
    about: 'Always 1; names the key that signs, as tokens do',
    labels: ['kid', 'version'],
  },
  signer_published_keys: {
    kind: 'gauge',
    about: 'How many versions of that key API servers are given',
    labels: [],
  },
  signer_keys_read_timestamp_seconds: {
    kind: 'gauge',
    about: 'When the public keys were last read where they are kept',
    labels: [],
  },
  build_info: {
    kind: 'gauge',
    about: 'Always 1; says what runs',
    labels: ['version', 'runtime'],
  },
} as const satisfies Readonly<Record<string, MetricRow>>
export type MetricName = keyof typeof METRICS
export type MetricOfKind<Kind extends MetricRow['kind']> = {
  [Name in MetricName]: (typeof METRICS)[Name]['kind'] extends Kind ? Name : never
}[MetricName]

/** The highest number of series that the metric can have at once. */
export function mostSeriesOf(name: MetricName, scene: MetricScene): number {
  const { labels, buckets }: MetricRow = METRICS[name]
  const sets = labels.reduce((product, label) => product * METRIC_LABELS[label].most(scene), 1)
  // Those of a histogram: its buckets, the one without an end, sum and count.
  return buckets === undefined ? sets : sets * (buckets.length + 3)
}
