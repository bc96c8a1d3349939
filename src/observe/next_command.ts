/** What an operator types next, by the present state. @module */

import { word } from '../base/shell.ts'
import type { NextCommand } from './status_document.ts'
import { type Judged, refusingRule, verdictOf } from './verdict.ts'

/** What commands are told to look at. */
export interface CommandTarget {
  /** The config file's path; absent for a config that is no file. */
  readonly configPath?: string | undefined
  /** The path of a socket, for where there is no file. */
  readonly socketPath?: string | undefined
}

const DENIED = new Set(['denied', 'policy_denied'])
/** The type of provider that asks nobody, and so has no policy. */
const ASKS_NOBODY = 'local'

export function nextCommand(
  state: Judged,
  { configPath, socketPath }: CommandTarget,
): NextCommand | undefined {
  if (configPath === undefined) {
    const why = 'asks the plugin as kube-apiserver does'
    const words = ['trousseau', 'status', '--socket', socketPath ?? '']
    return socketPath === undefined ? undefined : { command: lineOf(words), why }
  }
  const { words, why } = step(state)
  return { command: lineOf(['trousseau', ...words, '--config', configPath]), why }
}

/** One line, whatever its length: it stands in a field from which it is copied. */
function lineOf(words: readonly string[]): string {
  return words.map(word).join(' ')
}

function step(state: Judged): { readonly words: readonly string[]; readonly why: string } {
  const { providers } = state
  const denied = providers.find(
    ({ type, ok, error }) => !ok && type !== ASKS_NOBODY && DENIED.has(error?.code ?? ''),
  )
  if (denied !== undefined) {
    const words = [denied.type, 'policy', '--provider', denied.name]
    return { words, why: `prints the rights that ${denied.name} needs, to compare them` }
  }
  if (refusingRule(state.policy) !== undefined) {
    const why = 'shows which rule refuses, and from which facts'
    return { words: ['policy', 'explain'], why }
  }
  if (verdictOf(state).tone !== 'good') {
    return { words: ['doctor'], why: 'tries everything that the plugin needs, and says what to do' }
  }
  const isRotating = providers.some(({ pendingVersion }) => pendingVersion !== undefined)
  return isRotating
    ? { words: ['scan'], why: 'counts what is encrypted with which version of the key' }
    : { words: ['top'], why: 'shows all this live, in a terminal' }
}
