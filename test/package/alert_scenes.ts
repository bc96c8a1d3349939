/**
 * What Prometheus has of two healthy nodes, and of nodes with one fault each, in the notation of
 * `promtool test rules`. Its time begins at 0.
 *
 * @module
 */

/** By series, its values: one every 15 s. */
type Scene = Readonly<Record<string, string>>

interface Fault {
  /** What is other than in the healthy hour; a series with `undefined` is not there. */
  readonly scene: Readonly<Record<string, string | undefined>>
  /** When the alerts fire. */
  readonly at: string
  /** All that then fire, with how many of each. */
  readonly fires: Readonly<Record<string, number>>
}

const DAY = 86_400
/** Stands for as many steps of 15 s as a scene lasts. */
export const TO_THE_END = 'END'

function still(value: number): string {
  return `${value}+0x${TO_THE_END}`
}

function growing(by: number, from = 0): string {
  return `${from}+${by}x${TO_THE_END}`
}

/** A series of the plugin on a node. */
function at(node: 1 | 2, name: string, labels = ''): string {
  const comma = labels === '' ? '' : ','
  return `${name}{job="trousseau",instance="node-${node}:8787"${comma}${labels}}`
}

function on(node: 1 | 2, name: string, labels = ''): string {
  return at(node, `trousseau_${name}`, labels)
}

const STATES = ['starting', 'ok', 'degraded', 'held', 'failed']
const V2 = 'endpoint="default",api="v2"'

function stateOf(node: 1 | 2, current: string): Scene {
  return Object.fromEntries(
    STATES.map((state) => [
      on(node, 'health_state', `endpoint="default",state="${state}"`),
      still(Number(state === current)),
    ]),
  )
}

/** How many of ten requests or calls, every 15 s, took no longer. */
function durations(
  node: 1 | 2,
  name: string,
  labels: string,
  within: Readonly<Record<string, number>>,
): Scene {
  const buckets = Object.entries({ ...within, '+Inf': 10 }).map(([le, count]) => [
    on(node, `${name}_bucket`, `${labels},le="${le}"`),
    growing(count),
  ])
  const [sum, count] = ['sum', 'count'].map((part) => on(node, `${name}_${part}`, labels))
  return { ...Object.fromEntries(buckets), [`${sum}`]: growing(0.1), [`${count}`]: growing(10) }
}

const QUICK = { '0.01': 9, '0.5': 10, '1': 10, '2.5': 10 }

function healthyNode(node: 1 | 2): Scene {
  const call = 'provider="p",operation="unwrap"'
  return {
    [at(node, 'up')]: still(1),
    ...stateOf(node, 'ok'),
    [on(node, 'hold_left_seconds', 'endpoint="default"')]: still(0),
    [on(node, 'last_success_timestamp_seconds', 'endpoint="default"')]: growing(15),
    [on(node, 'provider_healthy', 'provider="p"')]: still(1),
    [on(node, 'key_id_info', 'endpoint="default",key_id_hash="sha256:aa"')]: still(1),
    [on(node, 'key_version_info', 'provider="p",version="3"')]: still(1),
    [on(node, 'key_version_created_timestamp_seconds', 'provider="p",version="3"')]: still(0),
    [on(node, 'token_expiry_timestamp_seconds', 'provider="p"')]: growing(15, 3_600),
    [tokens(node, 'renew', 'ok')]: growing(0.01, 1),
    // One that failed before all of this.
    [tokens(node, 'login', 'unavailable')]: still(2),
    [on(node, 'certificate_expiry_timestamp_seconds', 'provider="p",kind="server"')]: still(
      90 * DAY,
    ),
    [on(node, 'config_reloads_total', 'result="refused"')]: still(1),
    [on(node, 'config_last_reload_successful')]: still(1),
    [on(node, 'log_lines_lost_total', 'fate="held"')]: growing(3),
    [on(node, 'log_lines_lost_total', 'fate="dropped"')]: still(40),
    [on(node, 'audit_records_total', 'outcome="written"')]: growing(10),
    // Some were lost before all of this.
    [on(node, 'audit_records_total', 'outcome="lost"')]: still(4),
    [on(node, 'event_loop_delay_seconds', 'quantile="0.99"')]: still(0.02),
    [on(node, 'event_loop_delay_seconds', 'quantile="1"')]: still(0.4),
    [on(node, 'build_info', 'version="1.0.0",runtime="node"')]: still(1),
    [on(node, 'requests_total', `${V2},method="Encrypt",code="ok"`)]: growing(10),
    [on(node, 'requests_total', `${V2},method="Decrypt",code="cancelled"`)]: growing(2),
    [on(node, 'requests_total', `${V2},method="Decrypt",code="request_invalid"`)]: growing(2),
    [on(node, 'requests_total', `${V2},method="Status",code="ok"`)]: growing(1),
    ...durations(node, 'request_duration_seconds', `${V2},method="Encrypt"`, QUICK),
    // A Status that is slow holds up no write.
    ...durations(node, 'request_duration_seconds', `${V2},method="Status"`, { '2.5': 10 }),
    [on(node, 'provider_calls_total', `${call},code="ok"`)]: growing(10),
    [on(node, 'provider_items_total', call)]: growing(30),
    ...durations(node, 'provider_call_duration_seconds', call, QUICK),
    ...durations(node, 'provider_batch_items', call, { '1': 5, '4': 10 }),
    [on(node, 'coalesced_items_total', 'provider="p"')]: growing(4),
    [on(node, 'hedged_requests_total', 'provider="p",reason="slow"')]: growing(1),
    [on(node, 'policy_rule_info', 'rule="lockdown",mode="enforce",state="passes"')]: still(1),
    // An audited one refuses nothing.
    [on(node, 'policy_rule_info', 'rule="kernel",mode="audit",state="refuses"')]: still(1),
  }
}

function tokens(node: 1 | 2, action: string, code: string): string {
  return on(
    node,
    'token_operations_total',
    `provider="p",action="${action}",method="approle",code="${code}"`,
  )
}

export const HEALTHY: Scene = { ...healthyNode(1), ...healthyNode(2) }

/** They are absent while all is well. */
export const ABSENT_WHERE_WELL = [
  // Of a signer, which that scene has not.
  'signer_healthy',
  'signer_key_info',
  'signer_published_keys',
  'signer_keys_read_timestamp_seconds',
  'degraded_since_timestamp_seconds',
  'policy_results_total',
  'policy_waiver_expiry_timestamp_seconds',
  'key_version_switch_timestamp_seconds',
  'trace_spans_total',
]

const HOLD_LEFT = on(1, 'hold_left_seconds', 'endpoint="default"')

export const FAULTS: Readonly<Record<string, Fault>> = {
  'an endpoint that failed': {
    scene: stateOf(1, 'failed'),
    at: '2m',
    fires: { TrousseauDown: 1 },
  },
  'an endpoint that does not get beyond its start': {
    scene: stateOf(2, 'starting'),
    at: '2m',
    fires: { TrousseauDown: 1 },
  },
  'a plugin that cannot be scraped': {
    scene: { [at(1, 'up')]: still(0) },
    at: '2m',
    fires: { TrousseauDown: 1 },
  },
  'a hold that is over': {
    scene: stateOf(1, 'held'),
    at: '5m',
    fires: { TrousseauDown: 1, TrousseauKeyServiceAway: 1 },
  },
  'an outage within the hold': {
    scene: { ...stateOf(1, 'held'), [HOLD_LEFT]: `900-15x60` },
    at: '5m',
    fires: { TrousseauKeyServiceAway: 1 },
  },
  'a provider that was left out': {
    scene: {
      ...stateOf(1, 'degraded'),
      [on(1, 'degraded_since_timestamp_seconds', 'endpoint="default"')]: still(0),
    },
    at: '20m',
    fires: { TrousseauDegraded: 1 },
  },
  'a provider that only reads, and is away': {
    scene: { [on(2, 'provider_healthy', 'provider="old"')]: still(0) },
    at: '15m',
    fires: { TrousseauProviderUnhealthy: 1 },
  },
  'one failure in twelve requests': {
    scene: { [on(1, 'requests_total', `${V2},method="Decrypt",code="unavailable"`)]: growing(1.5) },
    at: '15m',
    fires: { TrousseauRequestsFail: 1 },
  },
  'an Encrypt in two that takes two seconds': {
    scene: durations(1, 'request_duration_seconds', `${V2},method="Encrypt"`, {
      '0.01': 1,
      '0.5': 5,
      '1': 5,
      '2.5': 10,
    }),
    at: '15m',
    fires: { TrousseauSlow: 1 },
  },
  'a rule that refuses': {
    scene: {
      [on(1, 'policy_rule_info', 'rule="lockdown",mode="enforce",state="passes"')]: undefined,
      [on(1, 'policy_rule_info', 'rule="lockdown",mode="enforce",state="refuses"')]: still(1),
    },
    at: '5m',
    fires: { TrousseauRuleRefuses: 1 },
  },
  'a waiver in force': {
    scene: { [on(2, 'policy_waiver_expiry_timestamp_seconds')]: still(2 * DAY) },
    at: '90m',
    fires: { TrousseauRulesWaived: 1 },
  },
  'a node with another key id': {
    scene: {
      [on(2, 'key_id_info', 'endpoint="default",key_id_hash="sha256:aa"')]: undefined,
      [on(2, 'key_id_info', 'endpoint="default",key_id_hash="sha256:bb"')]: still(1),
    },
    at: '15m',
    fires: { TrousseauNodesDisagree: 1 },
  },
  'a key version that should have taken over after a minute': {
    scene: {
      [on(1, 'key_version_switch_timestamp_seconds', 'provider="p",version="4"')]: still(60),
    },
    at: '30m',
    fires: { TrousseauRotationOverdue: 1 },
  },
  'a key that is 90 days old': {
    scene: {
      [on(1, 'key_version_created_timestamp_seconds', 'provider="p",version="3"')]: still(
        -90 * DAY,
      ),
    },
    at: '90m',
    fires: { TrousseauKeyOld: 1 },
  },
  'a key of 80 days that wraps 400 times a second': {
    scene: {
      [on(1, 'key_version_created_timestamp_seconds', 'provider="p",version="3"')]: still(
        -80 * DAY,
      ),
      [on(1, 'provider_items_total', 'provider="p",operation="wrap"')]: growing(3_000),
      [on(2, 'provider_items_total', 'provider="p",operation="wrap"')]: growing(3_000),
    },
    at: '8h',
    fires: { TrousseauKeyWorn: 1 },
  },
  'a token that nobody renews': {
    scene: { [on(1, 'token_expiry_timestamp_seconds', 'provider="p"')]: still(1_800) },
    at: '32m',
    fires: { TrousseauTokenEnds: 1 },
  },
  'logins that are denied': {
    scene: { [tokens(1, 'login', 'denied')]: growing(0.2) },
    at: '20m',
    fires: { TrousseauLoginFails: 1 },
  },
  'a certificate with six days left': {
    scene: {
      [on(1, 'certificate_expiry_timestamp_seconds', 'provider="p",kind="client"')]: still(6 * DAY),
    },
    at: '10m',
    fires: { TrousseauCertificateEnds: 1 },
  },
  'a config that is refused': {
    scene: { [on(2, 'config_last_reload_successful')]: still(0) },
    at: '5m',
    fires: { TrousseauConfigRefused: 1 },
  },
  'a process that gets no processor': {
    scene: { [on(1, 'event_loop_delay_seconds', 'quantile="0.99"')]: still(0.5) },
    at: '10m',
    fires: { TrousseauHeldUp: 1 },
  },
  'a log that nobody reads': {
    scene: { [on(1, 'log_lines_lost_total', 'fate="dropped"')]: `40+0x20 60+20x${TO_THE_END}` },
    at: '10m',
    fires: { TrousseauLogLinesDropped: 1 },
  },
  'an audit stream that nobody takes': {
    scene: { [on(1, 'audit_records_total', 'outcome="lost"')]: `4+0x20 24+20x${TO_THE_END}` },
    at: '10m',
    fires: { TrousseauAuditLost: 1 },
  },
  'a key of ServiceAccount tokens that cannot be used': {
    scene: { [on(1, 'signer_healthy')]: still(0) },
    at: '10m',
    fires: { TrousseauSignerFails: 1 },
  },
  'an upgrade that forgot a node': {
    scene: {
      [on(2, 'build_info', 'version="1.0.0",runtime="node"')]: undefined,
      [on(2, 'build_info', 'version="1.1.0",runtime="node"')]: still(1),
    },
    at: '7h',
    fires: { TrousseauVersionsDiffer: 1 },
  },
}
