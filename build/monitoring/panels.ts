/** What the dashboard shows, in rows: its queries and how each is drawn. @module */

import { API_SERVER, M, PROCESS } from './names.ts'

interface Query {
  readonly expr: string
  /** Names each line, with labels in `{{ }}`. */
  readonly legend: string
}

export interface Panel {
  readonly title: string
  /** What a reader should know, shown at the panel. */
  readonly about: string
  readonly kind: 'stat' | 'timeseries' | 'table' | 'state'
  /** One of Grafana's. */
  readonly unit: string
  /** Of the 24 columns. */
  readonly width: number
  readonly queries: readonly Query[]
  /** The value from which on a stat is yellow, and red. */
  readonly steps?: readonly [yellow: number, red: number]
  /** Where less is worse. */
  readonly falling?: true
}

interface Row {
  readonly title: string
  readonly panels: readonly Panel[]
}

/** The plugins that are picked at the top of the dashboard, and the lines' width of a rate. */
const HERE = 'instance=~"$instance"'
const RATE = '[$__rate_interval]'

/** Series of the picked plugins. */
function of(metric: string, labels = ''): string {
  return `${metric}{${labels === '' ? HERE : `${HERE}, ${labels}`}}`
}

function rate(metric: string, by: string, labels = ''): string {
  return `sum by (${by}) (rate(${of(metric, labels)}${RATE}))`
}

function p99(bucket: string, by: string, labels = ''): string {
  return `histogram_quantile(0.99, ${rate(bucket, `${by}, le`, labels)})`
}

/** API servers are other instances than plugins, and so all of them are shown. */
function ofApiServers(metric: string, by: string, labels = ''): string {
  return `sum by (${by}) (rate(${metric}${labels === '' ? '' : `{${labels}}`}${RATE}))`
}

const WELL: Row = {
  title: 'Is it well?',
  panels: [
    {
      title: 'Endpoints that are ok',
      about: 'Of all endpoints of all plugins. What the others are in is beside it.',
      kind: 'stat',
      unit: 'percentunit',
      width: 4,
      falling: true,
      steps: [1, 0.5],
      queries: [{ expr: `avg(${of(M.health_state, 'state="ok"')})`, legend: 'ok' }],
    },
    {
      title: 'Health',
      about: 'degraded: a provider was left out. held: a provider is away, and the hold runs.',
      kind: 'state',
      unit: 'none',
      width: 12,
      queries: [
        {
          expr: `max by (instance, endpoint) (${of(M.health_state, 'state="ok"')}) + 2 * max by (instance, endpoint) (${of(M.health_state, 'state="degraded"')}) + 3 * max by (instance, endpoint) (${of(M.health_state, 'state="held"')}) + 4 * max by (instance, endpoint) (${of(M.health_state, 'state="failed"')})`,
          legend: '{{instance}} {{endpoint}}',
        },
      ],
    },
    {
      title: 'Hold left',
      about: 'How much longer Status stays ok in an outage; 0 where there is none.',
      kind: 'stat',
      unit: 's',
      width: 4,
      queries: [{ expr: `max(${of(M.hold_left_seconds)})`, legend: 'left' }],
    },
    {
      title: 'Since all was well',
      about: 'Since all providers that write were last as they should be.',
      kind: 'stat',
      unit: 's',
      width: 4,
      steps: [120, 600],
      queries: [{ expr: `max(time() - ${of(M.last_success_timestamp_seconds)})`, legend: 'ago' }],
    },
    {
      title: 'Requests',
      about: 'Of API servers, by method and outcome.',
      kind: 'timeseries',
      unit: 'reqps',
      width: 12,
      queries: [{ expr: rate(M.requests_total, 'method, code'), legend: '{{method}} {{code}}' }],
    },
    {
      title: 'Requests, the slowest of a hundred',
      about: 'API servers give up after three seconds.',
      kind: 'timeseries',
      unit: 's',
      width: 12,
      queries: [{ expr: p99(M.request_duration_seconds_bucket, 'method'), legend: '{{method}}' }],
    },
  ],
}

const API_SERVERS: Row = {
  title: "API servers' view",
  panels: [
    {
      title: 'Objects encrypted and decrypted',
      about: 'By API servers, most of them with a key that they have at hand.',
      kind: 'timeseries',
      unit: 'ops',
      width: 8,
      queries: [
        {
          expr: ofApiServers(
            API_SERVER.transformations,
            'transformation_type, status',
            'transformer_prefix=~"k8s:enc:kms:.*"',
          ),
          legend: '{{transformation_type}} {{status}}',
        },
      ],
    },
    {
      title: 'Calls of the plugin, as they see them',
      about: 'The slowest of a hundred, with the way through the socket. They ask once a minute.',
      kind: 'timeseries',
      unit: 's',
      width: 8,
      queries: [
        {
          expr: `histogram_quantile(0.99, sum by (method_name, le) (rate(${API_SERVER.kmsDuration}[5m])))`,
          legend: '{{method_name}}',
        },
      ],
    },
    {
      title: 'Keys that they have at hand',
      about: 'Each was opened by the plugin once. After a start they are opened again.',
      kind: 'timeseries',
      unit: 'short',
      width: 8,
      queries: [
        {
          expr: `sum by (instance, provider_name) (${API_SERVER.sources})`,
          legend: '{{instance}} {{provider_name}}',
        },
      ],
    },
    {
      title: 'Uses of a key id',
      about: 'While there is one line, all that is read and written is under one key id.',
      kind: 'timeseries',
      unit: 'ops',
      width: 12,
      queries: [
        {
          expr: ofApiServers(API_SERVER.keyIdUsed, 'key_id_hash, transformation_type'),
          legend: '{{transformation_type}} {{key_id_hash}}',
        },
      ],
    },
    {
      title: 'Since they were told the key id that is in force',
      about: 'By a Status of the plugin: more than two minutes, and an API server has not asked.',
      kind: 'timeseries',
      unit: 's',
      width: 12,
      queries: [
        {
          expr: `time() - max by (instance, key_id_hash) (${API_SERVER.keyIdStatus}) and on (key_id_hash) ${of(M.key_id_info)}`,
          legend: '{{instance}} {{key_id_hash}}',
        },
      ],
    },
  ],
}

const PROVIDERS: Row = {
  title: 'Providers',
  panels: [
    {
      title: 'Healthy',
      about: '1 where the provider answers as it should.',
      kind: 'timeseries',
      unit: 'short',
      width: 6,
      queries: [{ expr: of(M.provider_healthy), legend: '{{instance}} {{provider}}' }],
    },
    {
      title: 'Calls',
      about: 'By operation and outcome; the health loop makes one of each every interval.',
      kind: 'timeseries',
      unit: 'reqps',
      width: 9,
      queries: [
        {
          expr: rate(M.provider_calls_total, 'provider, operation, code'),
          legend: '{{provider}} {{operation}} {{code}}',
        },
      ],
    },
    {
      title: 'Calls, the slowest of a hundred',
      about: 'How long the key service takes, with the way to it.',
      kind: 'timeseries',
      unit: 's',
      width: 9,
      queries: [
        {
          expr: p99(M.provider_call_duration_seconds_bucket, 'provider, operation'),
          legend: '{{provider}} {{operation}}',
        },
      ],
    },
    {
      title: 'Items in a call',
      about: 'What arrives while calls are under way leaves together.',
      kind: 'timeseries',
      unit: 'short',
      width: 8,
      queries: [
        {
          expr: `${rate(M.provider_batch_items_sum, 'provider, operation')} / ${rate(M.provider_batch_items_count, 'provider, operation')}`,
          legend: '{{provider}} {{operation}}',
        },
      ],
    },
    {
      title: 'Unwraps that were spared',
      about: 'Because an equal one was under way, and its answer served both.',
      kind: 'timeseries',
      unit: 'ops',
      width: 8,
      queries: [{ expr: rate(M.coalesced_items_total, 'provider'), legend: '{{provider}}' }],
    },
    {
      title: 'Asked in addition',
      about: 'Because the provider before it was slow or had failed.',
      kind: 'timeseries',
      unit: 'ops',
      width: 8,
      queries: [
        {
          expr: rate(M.hedged_requests_total, 'provider, reason'),
          legend: '{{provider}} {{reason}}',
        },
      ],
    },
  ],
}

const KEYS: Row = {
  title: 'Keys, tokens and certificates',
  panels: [
    {
      title: 'Age of the key version',
      about: 'Of the one that encrypts. Policies usually want a new one every 90 days.',
      kind: 'stat',
      unit: 's',
      width: 6,
      steps: [80 * 86_400, 90 * 86_400],
      queries: [
        {
          expr: `time() - ${of(M.key_version_created_timestamp_seconds)}`,
          legend: '{{provider}} {{version}}',
        },
      ],
    },
    {
      title: 'Key versions that encrypt',
      about: 'By plugin. After a rotation all of them change within the activation delay.',
      kind: 'table',
      unit: 'none',
      width: 9,
      queries: [{ expr: of(M.key_version_info), legend: '' }],
    },
    {
      title: 'Key ids',
      about: 'By plugin: what each answers to Status.',
      kind: 'table',
      unit: 'none',
      width: 9,
      queries: [{ expr: of(M.key_id_info), legend: '' }],
    },
    {
      title: 'Life of the token that is left',
      about: 'It is renewed long before the end.',
      kind: 'timeseries',
      unit: 's',
      width: 8,
      queries: [
        {
          expr: `${of(M.token_expiry_timestamp_seconds)} - time()`,
          legend: '{{instance}} {{provider}}',
        },
      ],
    },
    {
      title: 'Logins and renewals in an hour',
      about: 'By outcome.',
      kind: 'timeseries',
      unit: 'short',
      width: 8,
      queries: [
        {
          expr: `sum by (provider, action, code) (increase(${of(M.token_operations_total)}[1h]))`,
          legend: '{{provider}} {{action}} {{code}}',
        },
      ],
    },
    {
      title: 'Certificates end in',
      about: 'Of services, authorities and nodes; empty where no key service is reached by TLS.',
      kind: 'stat',
      unit: 's',
      width: 8,
      falling: true,
      steps: [14 * 86_400, 7 * 86_400],
      queries: [
        {
          expr: `min by (provider, kind) (${of(M.certificate_expiry_timestamp_seconds)}) - time()`,
          legend: '{{provider}} {{kind}}',
        },
      ],
    },
  ],
}

const RUNTIME: Row = {
  title: 'Process',
  panels: [
    {
      title: 'What runs',
      about: 'Version and runtime of each plugin.',
      kind: 'table',
      unit: 'none',
      width: 8,
      queries: [{ expr: of(M.build_info), legend: '' }],
    },
    {
      title: 'Processor time',
      about: 'Of one processor.',
      kind: 'timeseries',
      unit: 'percentunit',
      width: 8,
      queries: [{ expr: `rate(${of(PROCESS.cpu)}${RATE})`, legend: '{{instance}}' }],
    },
    {
      title: 'Memory',
      about: 'Resident, and of it what the heap uses.',
      kind: 'timeseries',
      unit: 'bytes',
      width: 8,
      queries: [
        { expr: of(PROCESS.memory), legend: '{{instance}} resident' },
        { expr: of(PROCESS.heap), legend: '{{instance}} heap' },
      ],
    },
    {
      title: 'Held up',
      about: 'How long the event loop waited, since the scrape before.',
      kind: 'timeseries',
      unit: 's',
      width: 6,
      queries: [{ expr: of(M.event_loop_delay_seconds), legend: '{{instance}} {{quantile}}' }],
    },
    {
      title: 'Open files',
      about: 'Connections are among them.',
      kind: 'timeseries',
      unit: 'short',
      width: 6,
      queries: [{ expr: of(PROCESS.files), legend: '{{instance}}' }],
    },
    {
      title: 'Log lines left out in an hour',
      about: 'held: equal ones came before. dropped: nobody took them.',
      kind: 'timeseries',
      unit: 'short',
      width: 6,
      queries: [
        {
          expr: `sum by (instance, fate) (increase(${of(M.log_lines_lost_total)}[1h]))`,
          legend: '{{instance}} {{fate}}',
        },
      ],
    },
    {
      title: 'Config reloads in a day',
      about: 'A file that is refused leaves the config before in force.',
      kind: 'timeseries',
      unit: 'short',
      width: 6,
      queries: [
        {
          expr: `sum by (instance, result) (increase(${of(M.config_reloads_total)}[1d]))`,
          legend: '{{instance}} {{result}}',
        },
      ],
    },
  ],
}

export const DASHBOARD_ROWS: readonly Row[] = [WELL, API_SERVERS, PROVIDERS, KEYS, RUNTIME]
