/**
 * Puts the parts of all files into their order, by what each says that it goes on from, and finds
 * what is missing between them.
 *
 * @module
 */

import type { CheckedFile, Linked, Part, Problem } from './parts.ts'

interface Ordered {
  readonly parts: readonly Part[]
  readonly problems: readonly Problem[]
  readonly notes: readonly Problem[]
}

export function ordered(
  files: readonly CheckedFile[],
  links: ReadonlyMap<string, Linked>,
): Ordered {
  const parts = files.flatMap((file) => file.parts)
  const parents = new Map(parts.map((part) => [part, parentOf(part, links)]))
  const sorted = parts.toSorted((a, b) => a.from - b.from || (a.last.time < b.last.time ? -1 : 1))
  const byParent = Map.groupBy(sorted, (part) => parents.get(part)?.part)
  const children = (of: Part | undefined) => byParent.get(of) ?? []
  const inOrder: Part[] = []
  const stack = children(undefined).toReversed()
  for (let part = stack.pop(); part !== undefined; part = stack.pop()) {
    inOrder.push(part)
    stack.push(...children(part).toReversed())
  }
  const twins = Map.groupBy(inOrder, ({ first }) => first)
  const isFirst = (part: Part) => part === inOrder[0]
  const found = inOrder.map((part) => {
    const parent = parents.get(part)
    const own = parent === undefined ? rootFinding(part, isFirst(part)) : linkFinding(part, parent)
    return [own, endFinding(part, children(part)), twinFinding(part, twins.get(part.first)?.[0])]
  })
  const findings = found.flat().flatMap((each) => each ?? [])
  return {
    parts: inOrder,
    problems: findings.filter(({ isProblem }) => isProblem).map(({ finding }) => finding),
    notes: findings.filter(({ isProblem }) => !isProblem).map(({ finding }) => finding),
  }
}

function parentOf(part: Part, links: ReadonlyMap<string, Linked>): Linked | undefined {
  const { within, begin } = part
  if (within !== undefined) return { part: within, seq: within.last.seq }
  const linked = begin?.prev == null ? undefined : links.get(begin.prev)
  // A file that says it goes on from itself is forged; its hashes do not hold either.
  return linked?.part === part ? undefined : linked
}

interface Finding {
  readonly isProblem: boolean
  readonly finding: Problem
}

function problem({ place }: Part, what: string): Finding {
  return { isProblem: true, finding: { ...place, what } }
}

function note({ place }: Part, what: string): Finding {
  return { isProblem: false, finding: { ...place, what } }
}

function rootFinding(part: Part, isFirst: boolean): Finding | undefined {
  const { begin, from } = part
  if (begin === undefined) return undefined
  if (begin.after === 'unknown') {
    return note(part, `run ${begin.run} begins on standard output: nothing links it to one before`)
  }
  if (begin.prev !== null) {
    return isFirst
      ? note(part, `the chain begins at seq ${from}; what was before is not here`)
      : problem(
          part,
          `goes on from a line with seq ${from - 1} that is in none of the files: changed, or removed`,
        )
  }
  if (begin.after === 'unreadable') {
    return problem(part, 'begins anew: what the plugin found there at its start was no audit file')
  }
  return isFirst ? undefined : problem(part, 'begins anew, as if there were nothing before it')
}

function linkFinding(part: Part, { part: parent, seq }: Linked): Finding | undefined {
  const { begin } = part
  if (part.from !== seq + 1) return problem(part, `has seq ${part.from}, expected ${seq + 1}`)
  const more = parent.last.seq - seq
  if (more > 0) {
    return parent.end === 'closed' || parent.end === 'rotated'
      ? note(part, `the run before wrote ${lines(more)} more beside this one, as in a take-over`)
      : note(
          part,
          `${lines(more)} in ${parent.place.file} came after this part began, and no head ends them`,
        )
  }
  switch (begin?.after) {
    case 'torn':
      return note(
        part,
        'the run before ended in the middle of a line: killed, or cut off by a crash',
      )
    case 'cut':
      return note(part, 'the run before ended without a head: killed, or cut off by a crash')
    case 'failed':
      return note(part, 'the file before could not be written any more')
    default:
      return undefined
  }
}

function lines(count: number): string {
  return count === 1 ? '1 line' : `${count} lines`
}

function endFinding(part: Part, next: readonly Part[]): Finding | undefined {
  const { end, begin } = part
  if (end === 'rotated' && next.length > 0 && !next.some(isOf(begin?.run))) {
    return problem(
      part,
      `its run went on after it, and that file is not here: removed, or never made because of a crash`,
    )
  }
  if (next.length > 0 || end === 'closed' || end === 'broken') return undefined
  if (end === 'rotated') return note(part, 'its run went on after it, and that file is not here')
  return note(
    part,
    end === 'torn'
      ? 'ends in the middle of a line: it is being written, or its process was killed, or it was cut off'
      : 'ends without a head: it is being written, or its process was killed, or it was cut off',
  )
}

/** Copies of a file would count its records twice. */
function twinFinding(part: Part, twin: Part | undefined): Finding | undefined {
  if (twin === undefined || twin === part) return undefined
  return problem(part, `begins with the same line as ${twin.place.file}:${twin.place.line}`)
}

function isOf(run: string | undefined) {
  return ({ begin }: Part) => begin?.run === run
}
