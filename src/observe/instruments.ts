/** Makes the counters, gauges and histograms of the table of metrics. @module */

import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import { METRICS, type MetricName, type MetricOfKind } from './metric_table.ts'

type LabelOf<Name extends MetricName> = (typeof METRICS)[Name]['labels'][number]

export function counter<Name extends MetricOfKind<'counter'>>(registry: Registry, name: Name) {
  return new Counter<LabelOf<Name>>(optionsOf(registry, name))
}

/** @param collect called at each scrape */
export function gauge<Name extends MetricOfKind<'gauge'>>(
  registry: Registry,
  name: Name,
  collect?: (this: Gauge<LabelOf<Name>>) => void,
) {
  const options = optionsOf(registry, name)
  return new Gauge<LabelOf<Name>>(collect === undefined ? options : { ...options, collect })
}

export function histogram<Name extends MetricOfKind<'histogram'>>(registry: Registry, name: Name) {
  const buckets = [...METRICS[name].buckets]
  return new Histogram<LabelOf<Name>>({ ...optionsOf(registry, name), buckets })
}

function optionsOf<Name extends MetricName>(registry: Registry, name: Name) {
  const { about, labels } = METRICS[name]
  const labelNames: readonly LabelOf<Name>[] = labels
  return {
    name: `trousseau_${name}`,
    help: about.replaceAll('`', ''),
    labelNames,
    registers: [registry],
  }
}
