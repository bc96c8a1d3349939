/** What a plugin on Node keeps on V8's heap, told by a heap snapshot. @module */

import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import * as v from 'valibot'
import { until } from '../wait.ts'
import { BUNDLE, NODE, NODE_FLAGS, type PluginProcess } from './process.ts'

const SIGNAL = 'SIGUSR2'
const LIMITS = { limitMs: 120_000 }
/** Of the engine, whose compiled code comes and goes as it likes. */
const ENGINE: ReadonlySet<string> = new Set(['hidden', 'code', 'object shape', 'synthetic'])

const names = v.pipe(v.array(v.string()), v.readonly())
/** The parts used of the format of V8's snapshots. */
const snapshot = v.object({
  snapshot: v.object({
    meta: v.object({ node_fields: names, node_types: v.looseTuple([names]) }),
  }),
  nodes: v.array(v.number()),
  strings: names,
})

/** The `command` of a plugin that `keptBy` can look at. @param folder where snapshots are written */
export function watchedCommand(folder: string): string[] {
  return ['env', '-C', folder, NODE, ...NODE_FLAGS, `--heapsnapshot-signal=${SIGNAL}`, BUNDLE]
}

/** By kind and name of constructor or function, how many there are once everything unused is collected. */
export async function keptBy({ pid }: PluginProcess, folder: string): Promise<Map<string, number>> {
  process.kill(pid, SIGNAL)
  // The file is there before it is whole.
  const { parsed, path } = await until('the snapshot is written', () => wholeIn(folder), LIMITS)
  await rm(path)
  return countsOf(parsed)
}

async function wholeIn(folder: string) {
  const name = (await readdir(folder)).find((each) => each.endsWith('.heapsnapshot'))
  if (name === undefined) return undefined
  const path = join(folder, name)
  try {
    return { path, parsed: v.parse(snapshot, JSON.parse(await readFile(path, 'utf8'))) }
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function countsOf({ snapshot: { meta }, nodes, strings }: v.InferOutput<typeof snapshot>) {
  const fields = meta.node_fields
  const [typeAt, nameAt] = [fields.indexOf('type'), fields.indexOf('name')]
  const counts = new Map<string, number>()
  for (let node = 0; node < nodes.length; node += fields.length) {
    const type = meta.node_types[0][nodes[node + typeAt] ?? 0] ?? ''
    if (ENGINE.has(type)) continue
    // The name of a string is what it says.
    const name = type.includes('string') ? '' : strings[nodes[node + nameAt] ?? 0]
    const kind = `${type} ${name}`
    counts.set(kind, (counts.get(kind) ?? 0) + 1)
  }
  return counts
}
