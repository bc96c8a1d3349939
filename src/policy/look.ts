/** The facts about this node as they are now, all of them, for commands. @module */

import { hostname } from 'node:os'
import type { Clock } from '../base/clock.ts'
import type { PolicyConfig } from './config.ts'
import { FactKeeper } from './facts/keeper.ts'
import { sourcesOf } from './facts/sources.ts'
import type { Facts } from './facts/value.ts'

interface LookOptions {
  readonly clock: Clock
  readonly version: string
  readonly sockets: readonly string[]
}

export async function lookAtNode(config: PolicyConfig, options: LookOptions): Promise<Facts> {
  const { roots, files, encryptionConfig, node = hostname(), interval, seldom } = config
  const sources = sourcesOf({ roots, files, encryptionConfig, node, ...options })
  const times = { intervalMs: interval, seldomMs: seldom }
  const keeper = new FactKeeper(sources, undefined, { clock: options.clock, ...times })
  await keeper.refresh()
  keeper.stop()
  return keeper.facts
}
