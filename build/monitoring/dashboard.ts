/** The Grafana dashboard of the rows of `panels.ts`. @module */

import { M } from './names.ts'
import { DASHBOARD_ROWS, type Panel } from './panels.ts'

const SOURCE = { type: 'prometheus', uid: '$datasource' }
const COLUMNS = 24
const HEIGHT = 7
const STATES = ['starting', 'ok', 'degraded', 'held', 'failed']
const COLOURS = ['blue', 'green', 'yellow', 'orange', 'red']
const TYPES: Readonly<Record<Panel['kind'], string>> = {
  stat: 'stat',
  timeseries: 'timeseries',
  table: 'table',
  state: 'state-timeline',
}

/** The dashboard's file. */
export function dashboard(): string {
  const document = {
    uid: 'trousseau',
    title: 'Trousseau',
    tags: ['kubernetes', 'kms'],
    schemaVersion: 39,
    editable: true,
    graphTooltip: 1,
    refresh: '30s',
    time: { from: 'now-3h', to: 'now' },
    templating: { list: [sourceVariable(), instanceVariable()] },
    panels: placed(),
  }
  return `${JSON.stringify(document, null, 2)}\n`
}

function sourceVariable() {
  return { name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus' }
}

function instanceVariable() {
  return {
    name: 'instance',
    label: 'Plugin',
    type: 'query',
    datasource: SOURCE,
    query: `label_values(${M.build_info}, instance)`,
    refresh: 2,
    multi: true,
    includeAll: true,
    allValue: '.*',
    current: { text: 'All', value: '$__all' },
  }
}

/** Rows below each other, and the panels of each from the left to the right. */
function placed() {
  const panels: object[] = []
  let y = 0
  for (const row of DASHBOARD_ROWS) {
    const title = { type: 'row', title: row.title, collapsed: false, panels: [] }
    panels.push({ id: panels.length + 1, ...title, gridPos: { x: 0, y, w: COLUMNS, h: 1 } })
    y += 1
    let x = 0
    for (const panel of row.panels) {
      if (x + panel.width > COLUMNS) {
        x = 0
        y += HEIGHT
      }
      const gridPos = { x, y, w: panel.width, h: HEIGHT }
      panels.push({ id: panels.length + 1, ...drawn(panel), gridPos })
      x += panel.width
    }
    y += HEIGHT
  }
  return panels
}

function drawn(panel: Panel) {
  const { title, about, kind, unit, queries } = panel
  return {
    type: TYPES[kind],
    title,
    description: about,
    datasource: SOURCE,
    fieldConfig: { defaults: { unit, ...fieldsOf(panel) }, overrides: [] },
    ...(kind === 'table' ? { transformations: TABLE } : {}),
    targets: queries.map(({ expr, legend }, index) => ({
      refId: String.fromCharCode('A'.charCodeAt(0) + index),
      datasource: SOURCE,
      expr,
      legendFormat: legend,
      ...(kind === 'table' ? { format: 'table', instant: true } : {}),
    })),
  }
}

/** Labels alone: the value of such a metric is always 1. */
const TABLE = [
  { id: 'organize', options: { excludeByName: { Time: true, Value: true, __name__: true } } },
]

function fieldsOf({ kind, steps, falling }: Panel) {
  if (kind === 'state') {
    const options = Object.fromEntries(
      STATES.map((text, index) => [index, { text, color: COLOURS[index], index }]),
    )
    return { mappings: [{ type: 'value', options }] }
  }
  if (steps === undefined) return {}
  const [yellow, red] = steps
  const colours = falling
    ? [
        { color: 'red', value: null },
        { color: 'yellow', value: red },
        { color: 'green', value: yellow },
      ]
    : [
        { color: 'green', value: null },
        { color: 'yellow', value: yellow },
        { color: 'red', value: red },
      ]
  return { thresholds: { mode: 'absolute', steps: colours } }
}
