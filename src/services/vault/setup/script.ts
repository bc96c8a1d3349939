/** The steps of setting up a key service, as a shell script for its administrator. @module */

import { comment, word } from '../../../base/shell.ts'
import type { Setup } from './input.ts'
import { guardFunctions, PREFIX } from './shell.ts'
import type { SetupStep } from './step.ts'

/** The script may be run again: what exists stays. */
export function setupScript(setup: Setup, steps: readonly SetupStep[]): string {
  const numbered = steps.map((step, index) => sectionOf(step, index + 1))
  return [...head(setup), guards(setup, steps), ...numbered].join('\n\n').concat('\n')
}

function guards({ cli }: Setup, steps: readonly SetupStep[]): string {
  const all = steps.flatMap(({ guard = [] }) => guard)
  const why = 'First of all: what is there and says something else ends this script.'
  return [comment(why), guardFunctions(cli), ...all].join('\n')
}

/** The lines of a step that a person fills in and runs. */
export function byHandLines({ commands }: SetupStep): readonly string[] {
  return commands.flatMap((command) => command.split('\n'))
}

function sectionOf(step: SetupStep, number: number): string {
  const [first = '', ...more] = step.why
  const why = [`${number}. ${first}`, ...more].map(comment)
  if (step.fillIn !== true) return [...why, ...step.commands].join('\n')
  const fillIn = step.commands.length === 0 ? [] : ['# By hand, with what belongs into <...>:']
  return [...why, ...fillIn, ...byHandLines(step).map((line) => `#   ${line}`)].join('\n')
}

function head({ cli, input }: Setup): string[] {
  const { name, namespace, tls, auth } = input
  const prefix = PREFIX[cli]
  const about = [
    '#!/bin/sh',
    `# What the key service needs for provider ${name}. Run it as an administrator of the key service`,
    `# (${cli} login, or ${prefix}_TOKEN); files for the nodes come into the current folder. It may be run again.`,
  ]
  if (namespace !== undefined) about.push(`# The namespace ${namespace} must exist.`)
  if (auth.method === 'agent') {
    about.push(
      '# The address below is that of the agent: put that of the key service in its place.',
    )
  }
  const settings: string[] = ['set -eu', setting(`${prefix}_ADDR`, input.address)]
  if (namespace === undefined) settings.push('unset VAULT_NAMESPACE BAO_NAMESPACE')
  else settings.push(setting(`${prefix}_NAMESPACE`, namespace))
  if (tls.caFile !== undefined) settings.push(fallback(`${prefix}_CACERT`, tls.caFile))
  if (tls.serverName !== undefined) {
    settings.push(setting(`${prefix}_TLS_SERVER_NAME`, tls.serverName))
  }
  return [about.join('\n'), settings.join('\n')]
}

function setting(name: string, value: string): string {
  return `export ${name}=${word(value)}`
}

/** The path of a file on the nodes, which may be elsewhere on the administrator's machine. */
function fallback(name: string, value: string): string {
  return `[ -n "\${${name}:-}" ] || ${setting(name, value)}`
}
