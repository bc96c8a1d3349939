/** Reads a `.cpuprofile` of V8: where the time was spent, by source file. @module */

import type { SourceMap } from 'node:module'
import * as v from 'valibot'

export const cpuProfile = v.object({
  nodes: v.array(
    v.object({
      id: v.number(),
      callFrame: v.object({
        functionName: v.string(),
        url: v.string(),
        /** From 0, as the column. */
        lineNumber: v.number(),
        columnNumber: v.number(),
      }),
    }),
  ),
  /** The node that ran, at each look. */
  samples: v.array(v.number()),
  /** Microseconds since the look before. */
  timeDeltas: v.array(v.number()),
})
export type CpuProfile = v.InferOutput<typeof cpuProfile>
type Frame = CpuProfile['nodes'][number]['callFrame']

export interface SelfTime {
  readonly name: string
  /** Of the time in which the process did not wait. */
  readonly share: number
}

const IDLE = '(idle)'

/** Shares by `nameOf`, the largest first. */
export function selfTimes(profile: CpuProfile, nameOf: (frame: Frame) => string): SelfTime[] {
  const names = new Map(
    profile.nodes
      .filter(({ callFrame }) => callFrame.functionName !== IDLE)
      .map(({ id, callFrame }) => [id, nameOf(callFrame)]),
  )
  const times = new Map<string, number>()
  let total = 0
  for (const [at, id] of profile.samples.entries()) {
    const name = names.get(id)
    if (name === undefined) continue
    const time = profile.timeDeltas[at] ?? 0
    total += time
    times.set(name, (times.get(name) ?? 0) + time)
  }
  return [...times]
    .map(([name, time]) => ({ name, share: time / total }))
    .sort((a, b) => b.share - a.share)
}

/** A package, a file of `src/`, a module of Node, or what V8 calls what has no source. */
export function placeOf({ functionName, url, lineNumber, columnNumber }: Frame, map: SourceMap) {
  if (url === '') return functionName.startsWith('(') ? functionName : '(native)'
  if (!url.startsWith('file:')) return url
  const entry = map.findEntry(lineNumber, columnNumber)
  const source = 'originalSource' in entry ? entry.originalSource : url
  return (
    /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(source)?.[1] ?? source.replace(/^.*?(?=src\/)/, '')
  )
}

export function functionOf(frame: Frame, map: SourceMap): string {
  const place = placeOf(frame, map)
  if (place === frame.functionName) return place
  return `${frame.functionName === '' ? '(anonymous)' : frame.functionName} in ${place}`
}
