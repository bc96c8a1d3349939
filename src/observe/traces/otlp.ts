/**
 * Spans in OTLP's JSON: names in lowerCamelCase, ids in hex, enums as numbers, and 64-bit integers
 * as strings of digits.
 *
 * @module
 */

export const KIND = { internal: 1, server: 2, client: 3 } as const
const STATUS_ERROR = 2
/** Sampled, and whether the parent is another process's is known: the next flag says that it is. */
const FLAGS = 0x101
const PARENT_ELSEWHERE = 0x200
/** What OpenTelemetry's own libraries keep of a span. */
const MOST = 128
const NANOS = 1_000_000

type Attributes = Readonly<Record<string, string | number | undefined>>

export interface SpanId {
  readonly traceId: string
  readonly spanId: string
}

export interface Span extends SpanId {
  readonly parentId: string | undefined
  /** The parent is a span of another process. */
  readonly parentElsewhere?: boolean
  readonly name: string
  readonly kind: (typeof KIND)[keyof typeof KIND]
  /** In milliseconds since the epoch, with fractions. */
  readonly start: number
  readonly end: number
  readonly attributes: Attributes
  readonly failed: boolean
  readonly events?: readonly Event[]
  readonly links?: readonly SpanId[]
}

interface Event {
  readonly at: number
  readonly name: string
  readonly attributes: Attributes
}

export function spanText(span: Span): string {
  const { traceId, spanId, parentId, name, kind, events = [], links = [] } = span
  return JSON.stringify({
    traceId,
    spanId,
    parentSpanId: parentId,
    flags: span.parentElsewhere === true ? FLAGS | PARENT_ELSEWHERE : FLAGS,
    name,
    kind,
    startTimeUnixNano: unixNano(span.start),
    endTimeUnixNano: unixNano(span.end),
    attributes: listOf(span.attributes),
    ...limited('events', 'droppedEventsCount', events, ({ at, name: what, attributes }) => ({
      timeUnixNano: unixNano(at),
      name: what,
      attributes: listOf(attributes),
    })),
    ...limited('links', 'droppedLinksCount', links, (link) => ({
      traceId: link.traceId,
      spanId: link.spanId,
      flags: FLAGS,
    })),
    status: span.failed ? { code: STATUS_ERROR } : undefined,
  })
}

/**
 * Makes bodies of requests.
 *
 * @param resource who sends them
 */
export function exportBody(resource: Attributes, version: string) {
  const who = JSON.stringify({ attributes: listOf(resource) })
  const scope = JSON.stringify({ name: 'trousseau', version })
  return (spans: readonly string[]) =>
    `{"resourceSpans":[{"resource":${who},"scopeSpans":[{"scope":${scope},"spans":[${spans.join(',')}]}]}]}`
}

function listOf(attributes: Attributes) {
  return Object.entries(attributes).flatMap(([key, value]) => {
    if (value === undefined) return []
    return typeof value === 'string'
      ? { key, value: { stringValue: value } }
      : { key, value: { intValue: String(value) } }
  })
}

function limited<T>(
  name: 'events' | 'links',
  droppedName: string,
  all: readonly T[],
  toJson: (one: T) => object,
) {
  if (all.length === 0) return {}
  const dropped = all.length > MOST ? { [droppedName]: all.length - MOST } : {}
  return { [name]: all.slice(0, MOST).map(toJson), ...dropped }
}

/** Nanoseconds since the epoch are more than a number holds exactly. */
function unixNano(ms: number): string {
  const whole = Math.floor(ms)
  return String(BigInt(whole) * BigInt(NANOS) + BigInt(Math.round((ms - whole) * NANOS)))
}
