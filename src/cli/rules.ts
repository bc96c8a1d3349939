/** The options of `trousseau policy …`. @module */

import { type Command, InvalidArgumentError, Option } from 'commander'
import type { Io } from '../console/io.ts'
import type { FactsOptions } from '../tools/policy/facts.ts'
import type { JudgeOptions } from '../tools/policy/judge.ts'
import type { WaiverOptions } from '../tools/policy/waiver.ts'
import { CONFIG_FILE, type Ending } from './command.ts'
import { durationFlag, wholeNumber } from './flags.ts'
import { commaList } from './lists.ts'

const STATES = ['passes', 'refuses', 'undecided', 'not_asked']
const MAX_LIFETIME_MS = 30 * 86_400_000
const MAX_SIZE = 65_535

export function addRules(program: Command, io: Io, { short }: Ending): void {
  const group = program
    .command('policy')
    .description('rules that must hold on this node before a key is used')
  group
    .command('facts')
    .description('print every fact about this node that rules may use')
    .requiredOption('--config <file>', CONFIG_FILE)
    .option(
      '--json',
      'print JSON with sources, which test and explain take as recorded facts',
      false,
    )
    .action(async (options: FactsOptions) => {
      const { printFacts } = await import('../tools/policy/facts.ts')
      return await short(printFacts(options, io))
    })
  asking(group.command('test'))
    .description('say what each rule says of facts; with --expect, whether that is as it should be')
    .option('--expect <rule=state>', `what a rule must say: ${STATES.join(', ')}`, expected, {})
    .action(async (options: JudgeOptions) => {
      const { testRules } = await import('../tools/policy/judge.ts')
      return await short(testRules(options, io))
    })
  asking(group.command('explain'))
    .description('say which rule decides over a use of a key, and by which facts')
    .action(async (options: Omit<JudgeOptions, 'expect'>) => {
      const { explainRules } = await import('../tools/policy/judge.ts')
      return await short(explainRules({ ...options, expect: {} }, io))
    })
  waiver(group.command('waiver'), io, short)
}

function asking(command: Command): Command {
  return command
    .requiredOption('--config <file>', CONFIG_FILE)
    .option('--facts <file>', 'recorded facts (default: those of this node)')
    .addOption(
      new Option('--operation <name>', 'of the request')
        .choices(['encrypt', 'decrypt'])
        .default('encrypt'),
    )
    .addOption(
      new Option('--api <version>', 'of the request').choices(['v2', 'v1beta1']).default('v2'),
    )
    .option('--provider <name>', 'whose key is used (default: the first)')
    .option('--endpoint <name>', 'that is asked', 'default')
    .option('--key-version <label>', 'that is used', '1')
    .option('--size <bytes>', 'of what is encrypted or opened', wholeNumber(1, MAX_SIZE), 32)
    .option('--json', 'print JSON', false)
}

type WaiverFlags = Omit<WaiverOptions, 'rules' | 'lifetimeMs'> & {
  readonly rule: readonly string[]
  readonly for: number
}

function waiver(command: Command, io: Io, short: Ending['short']): void {
  command
    .description('sign a waiver that lifts rules on one node for a while, with a key kept offline')
    .requiredOption('--key <file>', 'the private key: PEM or JWK')
    .requiredOption('--node <name>', 'the fact node.name there')
    .requiredOption('--machine <digest>', 'the fact node.machine there')
    .requiredOption('--rule <names>', 'the rules that it lifts, with commas; * for all', commaList)
    .requiredOption('--who <name>', 'who gives it')
    .requiredOption('--why <text>', 'for the log')
    .option(
      '--for <duration>',
      'how long it is good',
      durationFlag(60_000, MAX_LIFETIME_MS),
      3_600_000,
    )
    .option('--json', 'print JSON', false)
    .action(async ({ rule, for: lifetimeMs, ...options }: WaiverFlags) => {
      const { printWaiver } = await import('../tools/policy/waiver.ts')
      return await short(printWaiver({ ...options, rules: rule, lifetimeMs }, io))
    })
}

function expected(
  text: string,
  before: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const [, rule, state = ''] = /^([a-z0-9-]+)=(\w+)$/.exec(text) ?? []
  if (rule !== undefined && STATES.includes(state)) return { ...before, [rule]: state }
  throw new InvalidArgumentError(`Wanted RULE=STATE, with one of ${STATES.join(', ')}`)
}
