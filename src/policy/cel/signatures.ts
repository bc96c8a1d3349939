/**
 * What of CEL's own functions a rule may call, with the types that they take and give. The checker
 * of the library knows constants and names alone, so this is ours.
 *
 * @module
 */

import type { Scalar } from './type.ts'

interface Signature {
  readonly takes: readonly Scalar[]
  readonly gives: Scalar
}

function of(...lines: readonly string[]): Signature[] {
  return lines.map((line) => {
    const [takes = '', gives = ''] = line.split(' -> ')
    return { takes: takes.split(' ') as Scalar[], gives: gives as Scalar }
  })
}

const COMPARED = of(
  'bool bool -> bool',
  'int int -> bool',
  'double double -> bool',
  'string string -> bool',
  'bytes bytes -> bool',
  'timestamp timestamp -> bool',
  'duration duration -> bool',
)

const NUMBERS = of('int int -> int', 'double double -> double')

/** By CEL's own names of its operators. */
export const OPERATORS: Readonly<Record<string, readonly Signature[]>> = {
  '!_': of('bool -> bool'),
  '-_': of('int -> int', 'double -> double'),
  '_<_': COMPARED,
  '_<=_': COMPARED,
  '_>_': COMPARED,
  '_>=_': COMPARED,
  '_+_': [
    ...NUMBERS,
    ...of(
      'string string -> string',
      'bytes bytes -> bytes',
      'timestamp duration -> timestamp',
      'duration timestamp -> timestamp',
      'duration duration -> duration',
    ),
  ],
  '_-_': [
    ...NUMBERS,
    ...of(
      'timestamp timestamp -> duration',
      'timestamp duration -> timestamp',
      'duration duration -> duration',
    ),
  ],
  '_*_': NUMBERS,
  '_/_': NUMBERS,
  '_%_': of('int int -> int'),
  '_&&_': of('bool bool -> bool'),
  '_||_': of('bool bool -> bool'),
}

export const FUNCTIONS: Readonly<Record<string, readonly Signature[]>> = {
  bool: of('bool -> bool', 'string -> bool'),
  int: of('int -> int', 'double -> int', 'string -> int', 'timestamp -> int', 'duration -> int'),
  double: of('double -> double', 'int -> double', 'string -> double'),
  string: of(
    'string -> string',
    'bool -> string',
    'int -> string',
    'double -> string',
    'timestamp -> string',
    'duration -> string',
  ),
  timestamp: of('timestamp -> timestamp', 'string -> timestamp', 'int -> timestamp'),
  duration: of('duration -> duration', 'string -> duration', 'int -> duration'),
  size: of('string -> int', 'bytes -> int'),
}

const CALENDAR = of('timestamp -> int', 'timestamp string -> int')
const CLOCK = [...CALENDAR, ...of('duration -> int')]

/** The first type is that of the value before the dot. */
export const METHODS: Readonly<Record<string, readonly Signature[]>> = {
  size: of('string -> int', 'bytes -> int'),
  contains: of('string string -> bool'),
  startsWith: of('string string -> bool'),
  endsWith: of('string string -> bool'),
  matches: of('string string -> bool'),
  getFullYear: CALENDAR,
  getMonth: CALENDAR,
  getDate: CALENDAR,
  getDayOfMonth: CALENDAR,
  getDayOfWeek: CALENDAR,
  getDayOfYear: CALENDAR,
  getHours: CLOCK,
  getMinutes: CLOCK,
  getSeconds: CLOCK,
}
