/** Judges a policy as IAM does, as far as `trousseau awskms policy` needs it; anything else throws. @module */

import * as v from 'valibot'

/** What a condition can ask about, such as `kms:EncryptionContext:cluster`. */
export type Facts = Readonly<Record<string, string | readonly string[] | undefined>>

const values = v.union([v.string(), v.array(v.string())])
const policy = v.strictObject({
  Version: v.literal('2012-10-17'),
  Statement: v.array(
    v.strictObject({
      Sid: v.pipe(v.string(), v.regex(/^[A-Za-z0-9]+$/)),
      Effect: v.literal('Allow'),
      Action: values,
      Resource: values,
      Condition: v.optional(v.record(v.string(), v.record(v.string(), values))),
    }),
  ),
})

type Operator = (actual: readonly string[] | undefined, wanted: readonly string[]) => boolean

const OPERATORS: Readonly<Record<string, Operator>> = {
  Null: (actual, [wanted]) => (actual === undefined) === (wanted === 'true'),
  StringEquals: (actual, wanted) => actual?.length === 1 && wanted.includes(actual[0] ?? ''),
  'ForAllValues:StringEquals': (actual = [], wanted) => actual.every((one) => wanted.includes(one)),
  'ForAnyValue:StringEquals': (actual = [], wanted) => actual.some((one) => wanted.includes(one)),
}

export function allows(text: string, action: string, resource: string, facts: Facts): boolean {
  const { Statement } = v.parse(v.pipe(v.string(), v.parseJson(), policy), text)
  return Statement.some(
    ({ Action, Resource, Condition = {} }) =>
      list(Action).some((pattern) => fits(pattern, action)) &&
      list(Resource).some((pattern) => fits(pattern, resource)) &&
      Object.entries(Condition).every(([operator, asked]) => holds(operator, asked, facts)),
  )
}

function holds(
  operator: string,
  asked: Readonly<Record<string, string | string[]>>,
  facts: Facts,
): boolean {
  const judge = OPERATORS[operator]
  if (judge === undefined) throw new Error(`No such condition operator here: ${operator}`)
  return Object.entries(asked).every(([key, wanted]) => {
    const actual = facts[key]
    return judge(actual === undefined ? undefined : list(actual), list(wanted))
  })
}

function fits(pattern: string, text: string): boolean {
  const escaped = pattern.replaceAll(/[.+^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')
  return new RegExp(`^${escaped}$`).test(text)
}

function list(value: string | readonly string[]): readonly string[] {
  return typeof value === 'string' ? [value] : value
}
