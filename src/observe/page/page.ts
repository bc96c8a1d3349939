/**
 * The status page: one document without scripts and without anything from outside. It is loaded
 * when a browser first asks for it.
 *
 * @module
 */

import { hash } from 'node:crypto'
import { spanOf } from '../../base/span.ts'
import { endpointRows, providerRows, type Row } from '../described.ts'
import type {
  EndpointReport,
  FailureReport,
  LastHour,
  NextCommand,
  ProviderReport,
  StatusDocument,
} from '../status_document.ts'
import { headingOf, type Tone, verdictOf } from '../verdict.ts'
import { clock, latencyChart, progressBar, rateChart, stateStrip } from './charts.ts'
import { Html, html } from './html.ts'
import { STYLE } from './style.ts'

/** Nothing but this style and the page's own icon, in nobody's frame. */
export const CONTENT_SECURITY_POLICY = `default-src 'none'; style-src 'sha256-${hash('sha256', STYLE, 'base64')}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

const ICON_COLORS: Readonly<Record<Tone, string>> = {
  good: '17692f',
  warn: 'b06000',
  bad: 'b3161f',
}

export function statusPage(document: StatusDocument): string {
  const now = Date.parse(document.now)
  const verdict = verdictOf(document)
  const { tone, word } = verdict
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${word} &ndash; Trousseau</title>
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'%3E%3Ccircle cx='8' cy='8' r='8' fill='%23${ICON_COLORS[tone]}'/%3E%3C/svg%3E">
<style>${new Html(STYLE)}</style>
</head>
<body>
<header>
<div class="verdict ${tone}">
<h1>${headingOf(verdict, now)}</h1>
<p>${verdict.sentence}</p>
${verdict.remedy === undefined ? undefined : html`<p><b>What to do:</b> ${verdict.remedy}</p>`}
${verdict.warnings.map((warning) => html`<p><b class="warn">Look at this:</b> ${warning}</p>`)}
${nextBox(document.next)}
</div>
<p class="soft">As it was at ${new Date(now).toISOString().slice(0, 19).replace('T', ' ')} UTC. <a href="/">Look again</a></p>
</header>
<main>
${failuresPart(document.failures, now)}
<h2>Endpoints</h2>
<div class="cards">${document.endpoints.map((endpoint) => endpointCard(endpoint, now))}</div>
<h2>Providers</h2>
${document.providers.length === 0 ? html`<p>None has answered yet.</p>` : undefined}
<div class="cards">${document.providers.map((provider) => providerCard(provider, document, now))}</div>
${hourPart(document.lastHour)}
</main>
<footer>
<nav aria-label="Other pages"><a href="/statusz">This as JSON</a> <a href="/readyz?verbose">Checks</a> <a href="/metrics">Metrics</a></nav>
<p>Trousseau ${document.version} on ${document.runtime}, for ${spanOf(now - Date.parse(document.startedAt))}</p>
</footer>
</body>
</html>
`.text
}

/** In a field, which Tab selects as a whole, and a click too where it is not in use. */
function nextBox(next: NextCommand | undefined): Html | undefined {
  if (next === undefined) return undefined
  const { command, why } = next
  return html`<label for="next">Next, on this node: it ${why}</label>
<input id="next" readonly value="${command}">`
}

function failuresPart(failures: readonly FailureReport[], now: number): Html | undefined {
  if (failures.length === 0) return undefined
  return html`<h2>Last failures</h2>
<div class="card"><ol>${failures.map((failure) => failureItem(failure, now))}</ol></div>`
}

function failureItem(
  { where, what, code, message, remedy, firstAt, at, count }: FailureReport,
  now: number,
): Html {
  const often = count === 1 ? '' : `, ${count} times since ${clock(Date.parse(firstAt))} UTC`
  return html`<li><p><b>${where}</b>, ${what}${code === undefined ? '' : `: ${code}`} <span class="soft">${spanOf(now - Date.parse(at))} ago${often}</span></p>
<p>${message}</p>
${remedy === undefined ? undefined : html`<p><b>What to do:</b> ${remedy}</p>`}</li>`
}

function endpointCard(endpoint: EndpointReport, now: number): Html {
  const [, ...rows] = endpointRows(endpoint, now)
  return html`<section class="card"><h3>${endpoint.name}</h3>${listOf(rows)}${stateStrip(endpoint, now)}</section>`
}

function providerCard(
  provider: ProviderReport,
  { endpoints, lastHour }: StatusDocument,
  now: number,
): Html {
  const [, ...rows] = providerRows(provider, endpoints, now)
  const { name, type } = provider
  const series = lastHour?.providers[name]
  const charts =
    series && html`${rateChart('Wraps and unwraps', series)}${latencyChart(name, series)}`
  return html`<section class="card"><h3>${name} <span class="soft">${type}</span></h3>${listOf(rows)}${rotation(provider, now)}${charts}</section>`
}

/** From the making of the next version to the moment at which it takes over. */
function rotation(provider: ProviderReport, now: number): Html | undefined {
  const { pendingVersion, switchAt, keyVersions } = provider
  const made = keyVersions.find(({ label }) => label === pendingVersion)?.createdAt
  if (pendingVersion === undefined || switchAt === undefined || made === undefined) return undefined
  const [start, end] = [Date.parse(made), Date.parse(switchAt)]
  const left = end > now ? `in ${spanOf(end - now)}` : 'now'
  const said = `Rotation: version ${pendingVersion} was made at ${clock(start)} and encrypts from ${clock(end)} UTC on, ${left}`
  return progressBar((now - start) / (end - start), said)
}

function listOf(rows: readonly Row[]): Html {
  return html`<dl>${rows.map(rowOf)}</dl>`
}

function rowOf({ key, values, tone }: Row): Html {
  const shown = values.map((value) =>
    tone === undefined
      ? html`<span>${value}</span>`
      : html`<span><b class="${tone}">${value}</b></span>`,
  )
  return html`<dt>${key}</dt><dd>${shown}</dd>`
}

function hourPart(lastHour: LastHour | undefined): Html | undefined {
  if (lastHour === undefined) return undefined
  const cards = Object.entries(lastHour.requests).map(
    ([method, series]) =>
      html`<section class="card"><h3>${method}</h3>${rateChart('Requests', series)}${latencyChart(method, series)}</section>`,
  )
  return html`<h2>The last hour: what API servers asked</h2><div class="cards">${cards}</div>`
}
