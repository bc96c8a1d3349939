/**
 * Checks a rule before it is ever used: names, types, and what it can cost at most. CEL has no
 * limit while it runs, so the worst case is bounded here, from the largest size of every fact.
 *
 * @module
 */

import { own } from '../../base/own.ts'
import { MAX_PART } from '../facts/vocabulary.ts'
import { callCost } from './cost.ts'
import { RuleFault } from './fault.ts'
import type { Expr } from './library.ts'
import { FUNCTIONS, METHODS, OPERATORS } from './signatures.ts'
import { checkTexts } from './texts.ts'
import { type CelType, isLike, joined, nameOf, scalar, sizeOf } from './type.ts'

interface Checked {
  readonly type: CelType
  /** Steps that it takes at most. */
  readonly cost: number
}

/** So many steps take some tens of milliseconds: the worst that a rule can do to the process, and only when a fact has changed. */
const MAX_COST = 50_000
const MAX_NESTING = 2
const BOOL = scalar('bool')

type Scope = ReadonlyMap<string, CelType>

export class RuleChecker {
  readonly #variables: Scope
  /** Paths of the facts that the expression names. */
  readonly used = new Set<string>()

  constructor(variables: Scope) {
    this.#variables = variables
  }

  /** @throws RuleFault */
  check(expr: Expr): void {
    const { type, cost } = this.#check(expr, new Map(), 0)
    if (type.kind !== 'bool') {
      throw new RuleFault(`gives ${nameOf(type)}, wanted true or false`, expr)
    }
    if (cost > MAX_COST) {
      throw new RuleFault(`can take ${cost} steps, wanted at most ${MAX_COST}`, expr)
    }
  }

  #check(expr: Expr, scope: Scope, depth: number): Checked {
    const { case: kind, value } = expr.exprKind
    switch (kind) {
      case 'constExpr':
        return { type: constantType(expr), cost: 1 }
      case 'identExpr':
        return this.#known(expr, scope)
      case 'selectExpr':
        return this.#select(expr, scope, depth)
      case 'listExpr':
        return this.#list(expr, value.elements, scope, depth)
      case 'callExpr':
        return this.#call(expr, scope, depth)
      case 'comprehensionExpr':
        return this.#comprehension(expr, scope, depth)
      default:
        throw new RuleFault('makes a map or a message, which no rule needs', expr)
    }
  }

  #known(expr: Expr, scope: Scope): Checked {
    const name = expr.exprKind.case === 'identExpr' ? expr.exprKind.value.name : ''
    const type = scope.get(name) ?? this.#variables.get(name)
    if (type === undefined) {
      const names = [...this.#variables.keys()].join(', ')
      throw new RuleFault(`there is no fact ${name}: wanted one of ${names}`, expr)
    }
    return { type, cost: 1 }
  }

  #select(expr: Expr, scope: Scope, depth: number): Checked {
    if (expr.exprKind.case !== 'selectExpr' || expr.exprKind.value.operand === undefined) {
      throw new RuleFault('is no field', expr)
    }
    const { operand, field, testOnly } = expr.exprKind.value
    const { type: of, cost } = this.#check(operand, scope, depth)
    if (of.kind !== 'group') {
      throw new RuleFault(`takes .${field} of ${nameOf(of)}, which has no fields`, expr)
    }
    const type = of.fields.get(field)
    const path = `${of.path}.${field}`
    if (type === undefined) {
      const names = [...of.fields.keys()].join(', ')
      throw new RuleFault(`there is no fact ${path}: ${of.path} has ${names}`, expr)
    }
    if (type.kind !== 'group') this.used.add(path)
    return { type: testOnly ? BOOL : type, cost: cost + 1 }
  }

  #list(expr: Expr, elements: readonly Expr[], scope: Scope, depth: number): Checked {
    const checked = elements.map((each) => this.#check(each, scope, depth))
    const [first, ...others] = checked
    let of = first?.type
    for (const { type } of others) {
      if (of === undefined || !isLike(of, type)) {
        throw new RuleFault(
          `has a list of ${nameOf(of)} and ${nameOf(type)}: wanted one type`,
          expr,
        )
      }
      of = joined(of, type)
    }
    return { type: { kind: 'list', of, size: elements.length }, cost: sum(checked) + 1 }
  }

  #call(expr: Expr, scope: Scope, depth: number): Checked {
    if (expr.exprKind.case !== 'callExpr') throw new RuleFault('is no call', expr)
    const { function: name, target, args } = expr.exprKind.value
    const parts = target === undefined ? args : [target, ...args]
    const checked = parts.map((each) => this.#check(each, scope, depth))
    const types = checked.map(({ type }) => type)
    const type = this.#result(expr, name, target !== undefined, parts, types)
    return { type, cost: sum(checked) + callCost(name, types, parts) }
  }

  #result(
    expr: Expr,
    name: string,
    isMethod: boolean,
    parts: readonly Expr[],
    types: readonly CelType[],
  ): CelType {
    const special = own(SPECIAL, name)
    const given = special?.(types)
    if (given !== undefined) return given
    const table = isMethod ? METHODS : { ...OPERATORS, ...FUNCTIONS }
    const signatures = own(table, name)
    if (signatures === undefined && special === undefined) {
      throw new RuleFault(`calls ${shown(name)}, which no rule may`, expr)
    }
    const found = signatures?.find(({ takes }) => takesThese(takes, types))
    if (found === undefined) {
      const these = types.map(nameOf).join(' and ')
      throw new RuleFault(`${shown(name)} does not take ${these}`, expr)
    }
    checkTexts(expr, name, parts)
    const size = name === '_+_' ? types.reduce((all, type) => all + sizeOf(type), 0) : TEXT_OF[name]
    return scalar(found.gives, size)
  }

  #comprehension(expr: Expr, scope: Scope, depth: number): Checked {
    if (expr.exprKind.case !== 'comprehensionExpr') throw new RuleFault('is no macro', expr)
    const { iterRange, iterVar, iterVar2, accuVar, accuInit, loopCondition, loopStep, result } =
      expr.exprKind.value
    if (depth >= MAX_NESTING) {
      throw new RuleFault(`nests macros more than ${MAX_NESTING} deep`, expr)
    }
    const range = this.#check(part(iterRange, expr), scope, depth)
    const element = elementOf(range.type)
    if (element === undefined || range.type.kind === 'group' || iterVar2 !== '') {
      throw new RuleFault(`goes over ${nameOf(range.type)}: wanted a list or a map`, expr)
    }
    const times = range.type.size
    const start = this.#check(part(accuInit, expr), scope, depth)
    const inner = new Map([...scope, [iterVar, element]])
    const withStart = new Map([...inner, [accuVar, grown(start.type, start.type, times)]])
    const first = this.#check(part(loopStep, expr), withStart, depth + 1)
    if (!isLike(start.type, first.type)) {
      throw new RuleFault(`gives ${nameOf(first.type)}, wanted ${nameOf(start.type)}`, expr)
    }
    const accu = grown(start.type, first.type, times)
    const whole = new Map([...inner, [accuVar, accu]])
    const condition = this.#check(part(loopCondition, expr), whole, depth + 1)
    const step = this.#check(part(loopStep, expr), whole, depth + 1)
    const end = this.#check(part(result, expr), new Map([...scope, [accuVar, accu]]), depth)
    const cost = range.cost + start.cost + times * (condition.cost + step.cost + 1) + end.cost
    return { type: end.type, cost }
  }
}

/** `map` and `filter` collect at most one element for each that they see. */
function grown(start: CelType, step: CelType, times: number): CelType {
  if (start.kind !== 'list' || step.kind !== 'list') return start
  return { kind: 'list', of: step.of ?? start.of, size: times }
}

/** Undefined for what cannot be gone over. */
function elementOf(type: CelType): CelType | undefined {
  if (type.kind === 'map') return scalar('string', MAX_PART)
  return type.kind === 'list' ? (type.of ?? scalar('null')) : undefined
}

/** How long the texts are that functions make. */
const TEXT_OF: Readonly<Record<string, number>> = { string: MAX_PART }

type Result = (types: readonly CelType[]) => CelType | undefined

/** Those whose types depend on one another; undefined where they do not fit. */
const SPECIAL: Readonly<Record<string, Result>> = {
  '_==_': ([a, b]) => (isLike(a, b) ? BOOL : undefined),
  '_!=_': ([a, b]) => (isLike(a, b) ? BOOL : undefined),
  '@in': ([a, b]) => {
    if (b?.kind === 'list') return isLike(a, b.of) ? BOOL : undefined
    return b?.kind === 'map' && a?.kind === 'string' ? BOOL : undefined
  },
  '_[_]': ([a, b]) => {
    if (a?.kind === 'list' && b?.kind === 'int') return a.of
    return a?.kind === 'map' && b?.kind === 'string' ? a.of : undefined
  },
  '_?_:_': ([when, a, b]) =>
    when?.kind === 'bool' && a !== undefined && b !== undefined && isLike(a, b)
      ? joined(a, b)
      : undefined,
  '@not_strictly_false': () => BOOL,
  size: ([a]) => (a?.kind === 'list' || a?.kind === 'map' ? scalar('int') : undefined),
  '_+_': ([a, b]) =>
    a?.kind === 'list' && b?.kind === 'list' && isLike(a, b)
      ? { kind: 'list', of: a.of ?? b.of, size: a.size + b.size }
      : undefined,
}

function takesThese(takes: readonly string[], types: readonly CelType[]): boolean {
  return takes.length === types.length && takes.every((kind, at) => types[at]?.kind === kind)
}

function constantType(expr: Expr): CelType {
  const constant = expr.exprKind.case === 'constExpr' ? expr.exprKind.value.constantKind : undefined
  switch (constant?.case) {
    case 'boolValue':
      return BOOL
    case 'int64Value':
      return scalar('int')
    case 'doubleValue':
      return scalar('double')
    case 'stringValue':
      return scalar('string', constant.value.length)
    case 'bytesValue':
      return scalar('bytes', constant.value.length)
    case 'uint64Value':
      return scalar('uint')
    case 'nullValue':
      return scalar('null')
    default:
      throw new RuleFault('has a constant of a kind that no fact has', expr)
  }
}

function part(expr: Expr | undefined, whole: Expr): Expr {
  if (expr === undefined) throw new RuleFault('is not whole', whole)
  return expr
}

/** `_==_` is `==`, as an operator of a rule writes it. */
function shown(name: string): string {
  return name
    .replace(/^@/, '')
    .replaceAll('_?_:_', '?:')
    .replace(/^_?([^\w[]+)_$/, '$1')
}

function sum(all: readonly Checked[]): number {
  return all.reduce((total, { cost }) => total + cost, 0)
}
