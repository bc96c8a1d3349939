/** Does what a runbook says, as its reader would. @module */

import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { ControlPlane } from './control_plane.ts'
import { looksLike, readPage, type Step } from './page.ts'
import { OperatorShell } from './shell.ts'

/** What the test does at the places that a page marks; every one of them must be given. */
type Meanwhile = Readonly<Record<string, (shell: OperatorShell) => Promise<unknown>>>

/** Where an operator works. */
type Workplace = Pick<ControlPlane, 'environment' | 'home' | 'output'> & {
  /** What leads there from this machine: a command line that ends in the shell. */
  readonly within?: readonly string[]
}

/** A runbook, after the page that sets up the shell for all of them. */
export async function runPage(
  node: Workplace,
  name: string,
  meanwhile: Meanwhile = {},
): Promise<void> {
  await runPages(node, ['README', name], meanwhile)
}

/** @param names of pages that are followed in one shell, relative to the runbooks */
export async function runPages(
  node: Workplace,
  names: readonly string[],
  meanwhile: Meanwhile = {},
): Promise<void> {
  await using shell = new OperatorShell(node.environment, node.home, node.within)
  const pages = await Promise.all(
    names.map(async (name) => ({ name, steps: await readPage(name) })),
  )
  const steps = pages.flatMap((page) => page.steps)
  const named = steps.filter(({ kind }) => kind === 'meanwhile').map(({ text }) => text)
  assert.equal(new Set(named), new Set(Object.keys(meanwhile)), 'what happens meanwhile')
  try {
    for (const page of pages) await all(shell, page.name, page.steps, meanwhile)
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`${detail}\n--- servers:\n${node.output().slice(-1_500)}`, { cause })
  }
}

/** For a page that sends its reader to numbered steps of another one. */
export async function runSteps(
  shell: OperatorShell,
  name: string,
  first: number,
  last: number,
): Promise<void> {
  const steps = await readPage(name)
  await all(
    shell,
    name,
    steps.filter(({ number }) => number >= first && number <= last),
    {},
  )
}

async function all(
  shell: OperatorShell,
  name: string,
  steps: readonly Step[],
  meanwhile: Meanwhile,
): Promise<void> {
  let printed = ''
  for (const step of steps) {
    try {
      printed = await done(step, printed, shell, meanwhile)
    } catch (cause) {
      const detail = cause instanceof Error ? cause.message : String(cause)
      throw new Error(`${join('docs/runbooks', name)}.md:${step.line}: ${detail}`, { cause })
    }
  }
}

async function done(
  { kind, text }: Step,
  printed: string,
  shell: OperatorShell,
  meanwhile: Meanwhile,
): Promise<string> {
  if (kind === 'run') return await shell.run(text)
  if (kind === 'meanwhile') await meanwhile[text]?.(shell)
  else if (!looksLike(printed, text)) {
    throw new Error(`The page shows\n${text}\n--- and this is what was printed:\n${printed}`)
  }
  return printed
}
