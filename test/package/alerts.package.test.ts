/**
 * Rules and configs of deploy/monitoring by Prometheus's own parser; each alert fires for its
 * seeded fault, and all are silent in a healthy hour.
 *
 * @module
 */

import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { parse, stringify } from 'yaml'
import { ALERTS } from '../../build/monitoring/alerts.ts'
import { METRICS } from '../../src/observe/metric_table.ts'
import { promtool } from '../_lib/package/prometheus.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import { ABSENT_WHERE_WELL, FAULTS, HEALTHY, TO_THE_END } from './alert_scenes.ts'

const MONITORING = fileURLToPath(new URL('../../deploy/monitoring/', import.meta.url))
const RULES = `${MONITORING}rules.yaml`
const FIRING = 'count by (alertname) (ALERTS{alertstate="firing"})'
const HOUR_MINUTES = 60

const test = suite('package/alerts', () => ({}), 90_000)

const MINUTES: Readonly<Record<string, number>> = { m: 1, h: 60 }

/** @param until such as `5m` or `2h` */
function scene(series: Readonly<Record<string, string | undefined>>, until: string) {
  const minutes = Number.parseInt(until, 10) * (MINUTES[until.at(-1) ?? ''] ?? Number.NaN)
  const steps = String((minutes + 1) * 4)
  return {
    interval: '15s',
    input_series: Object.entries(series).flatMap(([name, values]) =>
      values === undefined ? [] : { series: name, values: values.replace(TO_THE_END, steps) },
    ),
  }
}

/** A healthy hour in which no alert is even pending, and every fault with exactly what it raises. */
function ruleTests(rules: string, only = Object.keys(FAULTS)): object {
  const minutes = Array.from({ length: HOUR_MINUTES + 1 }, (_, minute) => `${minute}m`)
  const chosen = Object.entries(FAULTS).filter(([name]) => only.includes(name))
  const faults = chosen.map(([name, { scene: other, at, fires }]) => ({
    name,
    ...scene({ ...HEALTHY, ...other }, at),
    promql_expr_test: [
      { expr: FIRING, eval_time: '0m', exp_samples: [] },
      {
        expr: FIRING,
        eval_time: at,
        exp_samples: Object.entries(fires).map(([alert, value]) => ({
          labels: `{alertname="${alert}"}`,
          value,
        })),
      },
    ],
  }))
  const healthy = {
    name: 'a healthy hour',
    ...scene(HEALTHY, `${HOUR_MINUTES}m`),
    promql_expr_test: minutes.map((at) => ({ expr: 'ALERTS', eval_time: at, exp_samples: [] })),
  }
  return { rule_files: [rules], evaluation_interval: '30s', tests: [healthy, ...faults] }
}

test('its parser takes the rules, and the configs that load them', async () => {
  await using folder = await tempFolder()

  assert.match(await promtool('check', 'rules', RULES), /SUCCESS: \d+ rules found/)
  await promtool('check', 'config', `${MONITORING}prometheus-static.yaml`)
  // Debian builds it without Kubernetes' discovery, so the rest of that config alone is looked at.
  const config = parse(await readFile(`${MONITORING}prometheus.yaml`, 'utf8'))
  const [{ kubernetes_sd_configs: found, ...job }] = config.scrape_configs
  assert.is(found.length, 1)
  await writeFile(
    folder.at('pods.yaml'),
    stringify({ ...config, rule_files: [], scrape_configs: [job] }),
  )
  await promtool('check', 'config', folder.at('pods.yaml'))
})

test('the healthy hour has every metric, and the faults raise every alert', () => {
  const names = Object.keys(HEALTHY).map((series) => /^\w+/.exec(series)?.[0])
  for (const [name, { kind }] of Object.entries(METRICS)) {
    const series = `trousseau_${name}${kind === 'histogram' ? '_bucket' : ''}`
    assert.is(names.includes(series), !ABSENT_WHERE_WELL.includes(name), name)
  }
  const raised = new Set(Object.values(FAULTS).flatMap(({ fires }) => Object.keys(fires)))
  assert.equal(raised, new Set(ALERTS.map(({ name }) => name)))
})

test('promtool: each alert fires for its fault, and all are silent in a healthy hour', async () => {
  await using folder = await tempFolder()
  await writeFile(folder.at('tests.yaml'), stringify(ruleTests(RULES)))

  const said = await promtool('test', 'rules', folder.at('tests.yaml'))
  assert.match(said, /SUCCESS/)
})

test('promtool finds a rule that lost its alert, and one that is too eager', async () => {
  await using folder = await tempFolder()
  const rules = await readFile(RULES, 'utf8')
  for (const [from, to, ...faults] of [
    ['state="degraded"} == 1', 'state="degraded"} == 2', 'a provider that was left out'],
    ['quantile="0.99"} > 0.25', 'quantile="1"} > 0.25'],
  ] as const) {
    assert.match(rules, from)
    await writeFile(folder.at('rules.yaml'), rules.replace(from, to))
    await writeFile(folder.at('tests.yaml'), stringify(ruleTests(folder.at('rules.yaml'), faults)))
    const refusal = await rejection(promtool('test', 'rules', folder.at('tests.yaml')))
    const { stdout, stderr } = refusal as Partial<Record<'stdout' | 'stderr', string>>
    assert.match(`${stdout}${stderr}`, /FAILED/)
  }
})

test('each alert has a link to its own section of the page, and every link there leads somewhere', async () => {
  const page = await readFile(new URL('../../docs/alerts.md', import.meta.url), 'utf8')
  const anchors = [...page.matchAll(/^## (.*)$/gm)].map(([, title = '']) => title.toLowerCase())
  const { groups } = parse(await readFile(RULES, 'utf8'))
  const links = groups
    .flatMap(({ rules }: { rules: { annotations?: { runbook_url: string } }[] }) => rules)
    .flatMap(({ annotations }: { annotations?: { runbook_url: string } }) => annotations ?? [])
    .map(({ runbook_url: link }: { runbook_url: string }) => link)
  assert.equal(
    links,
    ALERTS.map(({ name }) => `docs/alerts.md#${name.toLowerCase()}`),
  )
  assert.equal(
    anchors,
    ALERTS.map(({ name }) => name.toLowerCase()),
  )
  const docs = new URL('../../docs/', import.meta.url)
  for (const [, path = ''] of page.matchAll(/\]\(([^)#]+)/g)) await readFile(new URL(path, docs))
})

test.run()
