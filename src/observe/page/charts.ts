/**
 * Charts of the last hour as SVG without a script: bars for counts, lines for latencies, a strip for
 * states. Each has a text that says the same.
 *
 * @module
 */

import { toneOf } from '../described.ts'
import type { EndpointReport, Series } from '../status_document.ts'
import { Html, html } from './html.ts'

/** One unit a minute; the page stretches it. */
const WIDTH = 60
const HEIGHT = 20
const HOUR_MS = 3_600_000

/** Counts in each minute, failed ones in another colour, at the right where now is. */
export function rateChart(name: string, { count, failed }: Series): Html {
  const most = Math.max(...count, 1)
  const total = sum(count)
  const wrong = sum(failed)
  const caption =
    total === 0
      ? 'none in this hour'
      : `${total} in this hour, at most ${most} a minute, ${wrong === 0 ? 'none' : wrong} failed`
  const bars = (values: readonly number[]) => {
    const path = values
      .map((value, index) => {
        if (value === 0) return ''
        const height = Math.max((value / most) * HEIGHT, 0.5)
        return `M${startOf(values) + index + 0.1} ${HEIGHT}v${round(-height)}h.8V${HEIGHT}z`
      })
      .join('')
    return new Html(path)
  }
  return html`<figure><figcaption><b>${name}</b>: ${caption}</figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${name} by the minute: ${caption}"><path class="axis" d="M0 ${HEIGHT}H${WIDTH}"/><path class="bars" d="${bars(count)}"/><path class="failed" d="${bars(failed)}"/></svg></figure>`
}

/** The median as a line, and what 99 of 100 stay below as a broken line. */
export function latencyChart(name: string, { p50Ms, p99Ms }: Series): Html | undefined {
  const known = [...p50Ms, ...p99Ms].filter((ms) => ms !== null)
  if (known.length === 0) return undefined
  const most = Math.max(...known)
  const [half, nearlyAll] = [p50Ms.findLast(isKnown), p99Ms.findLast(isKnown)]
  const caption = `half within ${half} ms, 99 of 100 within ${nearlyAll} ms (broken line), at most ${most} ms in this hour`
  return html`<figure><figcaption>${caption}</figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="Latency of ${name}: ${caption}"><path class="axis" d="M0 ${HEIGHT}H${WIDTH}"/><path class="p99" d="${line(p99Ms, most)}"/><path class="p50" d="${line(p50Ms, most)}"/></svg></figure>`
}

function isKnown(ms: number | null): ms is number {
  return ms !== null
}

/** Minutes without any value are gaps; one alone is a short dash. */
function line(values: readonly (number | null)[], most: number): Html {
  const path = values
    .map((value, index) => {
      if (value === null) return ''
      const x = startOf(values) + index
      const y = round(HEIGHT - 1 - (value / most) * (HEIGHT - 2))
      const before = values[index - 1]
      return `${before === null || before === undefined ? 'M' : 'L'}${x} ${y}h1`
    })
    .join('')
  return new Html(path)
}

/** The states that an endpoint was in. */
export function stateStrip({ name, changes }: EndpointReport, now: number): Html {
  const from = now - HOUR_MS
  const parts = changes.map(({ at, state }, index) => ({
    state,
    start: Math.max(Date.parse(at), from),
    end: Date.parse(changes[index + 1]?.at ?? '') || now,
  }))
  const shown = parts.filter(({ start, end }) => end > start && end > from)
  const said = shown.map(({ state, start }) => `${state} from ${clock(start)}`).join(', ')
  const x = (at: number) => round(((at - from) / HOUR_MS) * WIDTH)
  const bars = shown.map(
    ({ state, start, end }) =>
      html`<rect class="is-${toneOf(state)}" x="${x(start)}" y="0" width="${round(x(end) - x(start))}" height="1"/>`,
  )
  return html`<figure><figcaption>Last hour: ${said}</figcaption>
<svg class="strip" viewBox="0 0 ${WIDTH} 1" preserveAspectRatio="none" role="img" aria-label="States of ${name}: ${said}"><rect class="is-none" width="${WIDTH}" height="1"/>${bars}</svg></figure>`
}

/** How much of a time has passed. */
export function progressBar(part: number, said: string): Html {
  return html`<figure><figcaption>${said}</figcaption>
<svg class="progress" viewBox="0 0 ${WIDTH} 1" preserveAspectRatio="none" role="img" aria-label="${said}"><rect class="is-none" width="${WIDTH}" height="1"/><rect class="bars" width="${round(Math.min(Math.max(part, 0), 1) * WIDTH)}" height="1"/></svg></figure>`
}

/** `12:04` of the world's time. */
export function clock(ms: number): string {
  return new Date(ms).toISOString().slice(11, 16)
}

/** Where the first value stands, so that the last one is at the right. */
function startOf(values: readonly unknown[]): number {
  return WIDTH - values.length
}

function sum(values: readonly number[]): number {
  return values.reduce((sofar, value) => sofar + value, 0)
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
