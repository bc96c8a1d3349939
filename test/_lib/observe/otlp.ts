/**
 * OTLP's JSON of traces as strictly as it can be read: the names of opentelemetry-proto in
 * lowerCamelCase and no others, ids in hex, enums as numbers, 64-bit integers as digits.
 *
 * @module
 */

import * as v from 'valibot'

const traceId = v.pipe(v.string(), v.regex(/^(?!0{32})[0-9a-f]{32}$/))
const spanId = v.pipe(v.string(), v.regex(/^(?!0{16})[0-9a-f]{16}$/))
const digits = v.pipe(v.string(), v.regex(/^\d{1,19}$/))
const uint32 = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(2 ** 32 - 1))

const attributes = v.pipe(
  v.array(
    v.strictObject({
      key: v.pipe(v.string(), v.nonEmpty()),
      value: v.union([
        v.strictObject({ stringValue: v.string() }),
        v.strictObject({ intValue: digits }),
      ]),
    }),
  ),
  v.check((all) => new Set(all.map(({ key }) => key)).size === all.length, 'each key once'),
)

const span = v.strictObject({
  traceId,
  spanId,
  // The Collector prints an empty one where there is none.
  parentSpanId: v.optional(v.union([spanId, v.literal('')])),
  flags: v.optional(uint32),
  name: v.pipe(v.string(), v.nonEmpty()),
  kind: v.picklist([1, 2, 3]),
  startTimeUnixNano: digits,
  endTimeUnixNano: digits,
  attributes: v.optional(attributes),
  events: v.optional(
    v.array(
      v.strictObject({
        timeUnixNano: digits,
        name: v.pipe(v.string(), v.nonEmpty()),
        attributes: v.optional(attributes),
      }),
    ),
  ),
  droppedEventsCount: v.optional(uint32),
  links: v.optional(v.array(v.strictObject({ traceId, spanId, flags: v.optional(uint32) }))),
  droppedLinksCount: v.optional(uint32),
  status: v.optional(v.strictObject({ code: v.optional(v.picklist([0, 1, 2])) })),
})

/** `ExportTraceServiceRequest`. */
export const exported = v.strictObject({
  resourceSpans: v.pipe(
    v.array(
      v.strictObject({
        resource: v.strictObject({ attributes }),
        scopeSpans: v.array(
          v.strictObject({
            scope: v.strictObject({ name: v.string(), version: v.string() }),
            spans: v.pipe(v.array(span), v.minLength(1)),
          }),
        ),
      }),
    ),
    v.length(1),
  ),
})
type Export = v.InferOutput<typeof exported>

export type OtlpSpan = v.InferOutput<typeof span>

export function spansOf({ resourceSpans }: Export): OtlpSpan[] {
  return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans))
}

export function attributesOf({ attributes: all = [] }: Pick<OtlpSpan, 'attributes'>) {
  return Object.fromEntries(
    all.map(({ key, value }) => [key, 'intValue' in value ? value.intValue : value.stringValue]),
  )
}
