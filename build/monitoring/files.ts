/** Prometheus's files and the page of the alerts, made of the tables beside this. @module */

import { stringify } from 'yaml'
import { METRIC_LABELS, METRICS } from '../../src/observe/metric_table.ts'
import { ALERTS, type Alert, JOB } from './alerts.ts'
import { dashboard } from './dashboard.ts'
import { RECORDING_RULES } from './rules.ts'

const HEADER = '# Made by npm run generate (build/monitoring): change it there.\n'
const NAME = 'trousseau'
const PORT = 8787
const NAME_LABEL = 'app.kubernetes.io/name'

/** By path, all that is generated for monitoring. The chart has its own copy: Helm reads no other folder. */
export function monitoringFiles(): [path: string, text: string][] {
  const ofTheChart = {
    'rules.yaml': yaml(ruleGroups()),
    'dashboard.json': dashboard(),
    'pod-monitor.yaml': yaml(podMonitor()),
    'service-monitor.yaml': yaml(service(), serviceMonitor()),
  }
  const ofPrometheus = {
    'prometheus.yaml': yaml(prometheusConfig(PODS)),
    'prometheus-static.yaml': yaml(prometheusConfig(NODES)),
  }
  const below = (folder: string, files: Readonly<Record<string, string>>) =>
    Object.entries(files).map(([name, text]): [string, string] => [`${folder}/${name}`, text])
  return [
    ...below('deploy/chart/files', ofTheChart),
    ...below('deploy/monitoring', { ...ofTheChart, ...ofPrometheus }),
    ['docs/alerts.md', alertsPage()],
  ]
}

function yaml(...documents: object[]): string {
  return HEADER + documents.map((each) => stringify(each, { lineWidth: 0 })).join('---\n')
}

function ruleGroups() {
  const alerts = ALERTS.map((alert) => ({
    alert: alert.name,
    expr: alert.expr,
    for: alert.for,
    labels: { severity: alert.severity },
    annotations: { summary: alert.summary, runbook_url: `docs/alerts.md#${anchorOf(alert)}` },
  }))
  return {
    groups: [
      { name: 'trousseau.recorded', rules: RECORDING_RULES },
      { name: 'trousseau.alerts', rules: alerts },
    ],
  }
}

/** How Prometheus finds the plugins. */
const PODS = {
  kubernetes_sd_configs: [{ role: 'pod', namespaces: { names: ['kube-system'] } }],
  relabel_configs: [
    {
      source_labels: ['__meta_kubernetes_pod_label_app_kubernetes_io_name'],
      regex: NAME,
      action: 'keep',
    },
    {
      source_labels: ['__meta_kubernetes_pod_ip'],
      regex: '(.+)',
      target_label: '__address__',
      replacement: `$1:${PORT}`,
    },
    { source_labels: ['__meta_kubernetes_pod_node_name'], target_label: 'node' },
  ],
}
const NODES = { static_configs: [{ targets: [1, 2, 3].map((node) => `node-${node}:${PORT}`) }] }

function prometheusConfig(found: object) {
  return {
    global: { scrape_interval: '15s', evaluation_interval: '15s' },
    rule_files: ['rules.yaml'],
    scrape_configs: [{ job_name: JOB, ...found }],
  }
}

const METADATA = { name: NAME, namespace: 'kube-system', labels: { [NAME_LABEL]: NAME } }
const SELECTOR = { matchLabels: { [NAME_LABEL]: NAME } }

/** The pod needs to declare no port: a declared one of the host's network may keep it from a node. */
function podMonitor() {
  return {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PodMonitor',
    metadata: METADATA,
    spec: {
      jobLabel: NAME_LABEL,
      selector: SELECTOR,
      podMetricsEndpoints: [
        {
          path: '/metrics',
          relabelings: [
            {
              sourceLabels: ['__meta_kubernetes_pod_ip'],
              regex: '(.+)',
              targetLabel: '__address__',
              replacement: `$1:${PORT}`,
            },
          ],
        },
      ],
    },
  }
}

function service() {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: METADATA,
    spec: {
      clusterIP: 'None',
      selector: SELECTOR.matchLabels,
      ports: [{ name: 'admin', port: PORT, targetPort: PORT }],
    },
  }
}

function serviceMonitor() {
  return {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'ServiceMonitor',
    metadata: METADATA,
    spec: {
      jobLabel: NAME_LABEL,
      selector: SELECTOR,
      endpoints: [{ port: 'admin', path: '/metrics' }],
    },
  }
}

/** As pages are shown, headings get it as their name. */
function anchorOf({ name }: Alert): string {
  return name.toLowerCase()
}

function alertsPage(): string {
  const rows = ALERTS.map(
    (alert) => `| [${alert.name}](#${anchorOf(alert)}) | ${alert.severity} | ${alert.for} |`,
  )
  return `# Alerts

Every alert of \`deploy/monitoring/rules.yaml\`, and what to do when it comes. [Metrics, probes, logs](observability.md#dashboard-rules-and-alerts) says how they are installed.
\`critical\` is for whoever is awake at night, \`warning\` for the working day, \`info\` for the week. This page is made by \`npm run generate\`.

| alert | severity | raised after |
| --- | --- | --- |
${rows.join('\n')}
${ALERTS.map(alertSection).join('')}`
}

function alertSection({ name, expr, means, look, action, wake }: Alert): string {
  return `
## ${name}

    ${expr}

**It means:** ${means}

**Look at:** ${look}

**Do:** ${action}

**Wake somebody:** ${wake}
`
}

/** The tables of docs/observability.md. */
export function metricsSection(): string {
  const metrics = Object.entries(METRICS).map(
    ([name, { kind, labels, about }]) =>
      `| \`trousseau_${name}\` | ${kind} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${about} |`,
  )
  const labels = Object.entries(METRIC_LABELS).map(
    ([name, { values }]) => `| \`${name}\` | ${values} |`,
  )
  return `| metric | kind | labels | |
| --- | --- | --- | --- |
${metrics.join('\n')}

No label has more values than these, whatever API servers send and key services answer:

| label | values |
| --- | --- |
${labels.join('\n')}`
}
