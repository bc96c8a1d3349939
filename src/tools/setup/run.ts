/**
 * `trousseau vault setup` prepares the key service for the plugin, as a script or over its API.
 *
 * @module
 */

import { resolve } from 'node:path'
import { systemClock } from '../../base/clock.ts'
import { ConfigError } from '../../config/load.ts'
import { fitted } from '../../console/fitted.ts'
import type { Io } from '../../console/io.ts'
import { nextStep, noticesTo } from '../../console/notices.ts'
import { type Color, EXIT, failureOf, json, paint, printable, table } from '../../console/output.ts'
import { readSecretFile } from '../../remote/secret_file.ts'
import { createVaultAdmin, type VaultAdmin } from '../../services/vault/setup/admin.ts'
import {
  decideNames,
  type Setup,
  type SetupChoices,
  setupInputOf,
} from '../../services/vault/setup/input.ts'
import { byHandLines, setupScript } from '../../services/vault/setup/script.ts'
import {
  applySetup,
  isToDo,
  type Planned,
  planSetup,
  type SetupState,
} from '../../services/vault/setup/step.ts'
import { nameInUse, setupSteps } from '../../services/vault/setup/steps.ts'
import { type ProviderOptions, providersOf } from './provider_configs.ts'

export interface SetupOptions extends ProviderOptions, SetupChoices {
  /** Where absent, the commands are printed, and the key service is not asked. */
  readonly api?: SetupCall | undefined
}

interface SetupCall {
  readonly tokenFile: string
  readonly dryRun: boolean
  readonly json: boolean
}

const COLORS: Readonly<Record<SetupState, Color>> = {
  ok: 'dim',
  make: 'green',
  change: 'yellow',
  'by hand': 'yellow',
  refused: 'red',
}

/** @throws ConfigError, or KmsError where the key service refuses the token or cannot be reached */
export async function vaultSetup(options: SetupOptions, io: Io): Promise<number> {
  const [config, ...more] = await providersOf('vault', options)
  if (config === undefined || more.length > 0) {
    throw new ConfigError([
      `${options.config}: has several providers of type vault: name one with --provider`,
    ])
  }
  const setup = decideNames(setupInputOf(config), options)
  if (options.api !== undefined) return await overApi(setup, options, options.api, io)
  io.out(setupScript(setup, setupSteps(setup)))
  nextStep({}, `read it, run it, then: trousseau doctor --config ${options.config}`, io)
  return EXIT.ok
}

async function overApi(
  named: Setup,
  choices: SetupOptions,
  call: SetupCall,
  io: Io,
): Promise<number> {
  const { tokenFile, dryRun } = call
  const { address, namespace, name } = named.input
  const token = await readSecretFile(resolve(tokenFile), '--token-file')
  const admin = createVaultAdmin({
    ...named.input,
    token,
    clock: systemClock,
    events: noticesTo(io),
  })
  try {
    const policyName = await nameInUse(named, admin)
    const setup =
      policyName === undefined ? named : decideNames(named.input, { ...choices, policyName })
    const plan = await planSetup(setupSteps(setup), admin)
    if (call.json) return await asDocument({ plan, setup, admin, dryRun }, io)
    const inside = namespace === undefined ? '' : `, namespace ${namespace}`
    io.out(`Plan for provider ${name} at ${address}${inside}:\n\n${readable(plan, io)}`)
    if (plan.some(({ finding }) => finding.state === 'refused')) {
      io.err('trousseau: What is refused above stands in the way: nothing was changed\n')
      return EXIT.failure
    }
    if (!dryRun) await applySetup(plan, admin, ({ step }) => io.out(`Done: ${step.what}\n`))
    io.out(summary(plan, dryRun))
    const next =
      dryRun && plan.some(isToDo)
        ? 'the same with --apply instead of --dry-run'
        : `trousseau doctor --config ${choices.config}`
    nextStep({}, next, io)
    return EXIT.ok
  } finally {
    await admin.close()
  }
}

interface Planning {
  readonly plan: readonly Planned[]
  readonly setup: Setup
  readonly admin: VaultAdmin
  readonly dryRun: boolean
}

/** The document has what was done even where something fails halfway. */
async function asDocument({ plan, setup, admin, dryRun }: Planning, io: Io): Promise<number> {
  const { address, namespace, name: provider } = setup.input
  const refused = plan.some(({ finding }) => finding.state === 'refused')
  const done = new Set<Planned>()
  const tell = (more: object) => {
    const steps = plan.map((planned) => stepJson(planned, done.has(planned)))
    io.out(json({ provider, address, namespace, dryRun, refused, steps, ...more }))
  }
  try {
    if (!(dryRun || refused)) await applySetup(plan, admin, (planned) => done.add(planned))
  } catch (error) {
    tell({ error: failureOf(error) })
    throw error
  }
  tell({})
  return refused ? EXIT.failure : EXIT.ok
}

function stepJson({ step, finding }: Planned, done: boolean) {
  const { what, why } = step
  const shows = finding.state === 'by hand' || finding.compareWith !== undefined
  const byHand = shows ? { why, commands: byHandLines(step) } : {}
  return { what, ...finding, done, ...byHand }
}

function readable(plan: readonly Planned[], io: Io): string {
  const rows = plan.map(({ step, finding }) => [
    finding.state,
    step.what,
    printable(finding.detail),
  ])
  const lines = table(rows).map(([state = '', ...rest], at) => {
    const color = COLORS[plan[at]?.finding.state ?? 'ok']
    return `  ${paint(io, color, state)}  ${rest.join('  ')}`.trimEnd()
  })
  // Commands are not wrapped, since people copy them.
  return `${fitted(lines.join('\n'), io)}\n\n${plan.map(forOperator).join('')}`
}

/** Steps that only the operator can do, or can judge. */
function forOperator({ step, finding: { state, compareWith } }: Planned): string {
  if (state !== 'by hand' && compareWith === undefined) return ''
  const title = compareWith === undefined ? 'By hand' : 'Compare'
  const shows = compareWith === undefined ? [] : [compareWith, '# with what this would write:']
  const lines = [...step.why.map((line) => `# ${line}`), ...shows, ...byHandLines(step)]
  return `${title}: ${step.what}\n${lines.map((line) => `  ${line}\n`).join('')}\n`
}

function summary(plan: readonly Planned[], dryRun: boolean): string {
  const left = plan.filter(({ finding }) => finding.state === 'by hand').length
  const more = left === 0 ? '' : `; ${left} left to do by hand`
  const count = plan.filter(isToDo).length
  if (count === 0) return `Nothing to change${more}.\n`
  return dryRun ? `${count} to make or change${more}.\n` : `${count} made or changed${more}.\n`
}
