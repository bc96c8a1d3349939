/**
 * Which resources the rules of an EncryptionConfiguration may name, and which rules hide others.
 *
 * @module
 */

import type { ConfigProblem } from './encryption_problem.ts'

interface NameRule {
  readonly broken: (name: string, group: string, resource: string) => boolean
  readonly what: string
  readonly todo: string
}

/** The first of these rules that is broken is reported. */
const NAME_RULES: readonly NameRule[] = [
  {
    broken: (name) => name.toLowerCase() !== name,
    what: 'it has capital letters',
    todo: 'Write it in small letters.',
  },
  {
    broken: (name) => name === '*',
    what: 'a star alone means nothing',
    todo: "Write '*.' for the core group, or '*.*' for everything.",
  },
  {
    broken: (name) =>
      ['apiserveripinfo', 'serviceipallocations', 'servicenodeportallocations'].includes(name),
    what: 'it has no API, and is never encrypted',
    todo: 'Take it out.',
  },
  {
    broken: (_name, group) => group === 'events.k8s.io',
    what: 'events are stored as those of the core group',
    todo: 'Write events.',
  },
  {
    broken: (_name, group) => group === 'extensions',
    what: 'there is no group extensions any more',
    todo: 'Write the current group, such as deployments.apps or ingresses.networking.k8s.io.',
  },
  {
    broken: (_name, group, resource) => group === '*' && resource !== '*',
    what: 'one resource of all groups cannot be meant',
    todo: "Name its group, or write '*.*' for everything.",
  },
]

interface Named {
  readonly group: string
  readonly resource: string
}

/** Parses `secrets` or `deployments.apps`; what follows the first dot is the group. */
export function namedBy(name: string): Named {
  const dot = name.indexOf('.')
  if (dot === -1) return { resource: name, group: '' }
  return { resource: name.slice(0, dot), group: name.slice(dot + 1) }
}

/** @param rules the resources of each rule */
export function resourceProblems(rules: readonly (readonly string[])[]): ConfigProblem[] {
  const earlier: Named[] = []
  return rules.flatMap((names, index) => {
    const at = `resources[${index}].resources`
    const problems = [
      ...(names.length === 0
        ? [{ id: 'encryption-empty', at, what: 'it is empty', todo: 'Write at least one.' }]
        : []),
      ...names.flatMap((name, place) => nameProblems(name, `${at}[${place}]`)),
      ...overlapProblems(names.map(namedBy), at),
      ...names.flatMap((name, place) => maskedProblems(namedBy(name), earlier, `${at}[${place}]`)),
    ]
    earlier.push(...names.map(namedBy))
    return problems
  })
}

function nameProblems(name: string, at: string): ConfigProblem[] {
  const { group, resource } = namedBy(name)
  const rule = NAME_RULES.find(({ broken }) => broken(name, group, resource))
  if (rule === undefined) return []
  return [{ id: 'encryption-resource-name', at, what: rule.what, todo: rule.todo }]
}

/** Finds overlaps within one rule. */
function overlapProblems(names: readonly Named[], at: string): ConfigProblem[] {
  const pairs = names.flatMap((one, index) =>
    names.slice(index + 1).map((two) => [one, two] as const),
  )
  const twice = pairs.some(([one, two]) => isSame(one, two))
  const overlap = pairs.some(
    ([one, two]) => !isSame(one, two) && (covers(one, two) || covers(two, one)),
  )
  return [
    ...(twice
      ? [
          {
            id: 'encryption-resource-twice',
            at,
            what: 'one resource stands there twice',
            todo: 'Take one of them out.',
          },
        ]
      : []),
    ...(overlap
      ? [
          {
            id: 'encryption-overlap',
            at,
            what: 'a wildcard stands beside what it covers',
            todo: 'Keep the wildcard, or what it covers, or put the wildcard into a later rule.',
          },
        ]
      : []),
  ]
}

function maskedProblems(name: Named, earlier: readonly Named[], at: string): ConfigProblem[] {
  if (!earlier.some((each) => each.resource === '*' && covers(each, name))) return []
  return [
    {
      id: 'encryption-masked',
      at,
      what: 'a wildcard of an earlier rule covers it',
      todo: 'Put the rule with the single name first, and wildcards last.',
    },
  ]
}

function isSame(one: Named, two: Named): boolean {
  return one.group === two.group && one.resource === two.resource
}

/** Whether a wildcard covers another name, or itself. */
function covers({ group, resource }: Named, other: Named): boolean {
  return resource === '*' && (group === '*' || group === other.group)
}
