/** The memory and the processor time of a process, as Linux reports them. @module */

import { readdirSync, readFileSync } from 'node:fs'

/** The kernel counts in hundredths of a second (`getconf CLK_TCK`). */
const TICK_MS = 10
/** Places of utime and stime behind the process's name. */
const [USER, SYSTEM] = [11, 12]

/** Processor time so far of all threads that have not ended, to the nanosecond. */
export function threadsCpuMs(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`)
  const times = threads.map((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8'),
  )
  return times.reduce((sum, text) => sum + Number(text.split(' ', 1)[0]) / 1e6, 0)
}

/** Processor time so far, of all threads. */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[USER]) + Number(fields[SYSTEM])) * TICK_MS
}

/** Resident memory. */
export function rssMb(pid: number): number {
  return memoryMb(pid, /^VmRSS:\s+(\d+) kB$/m)
}

/** Resident memory that is the process's own; the rest is pages of files, which the kernel can drop. */
export function privateMb(pid: number): number {
  return memoryMb(pid, /^RssAnon:\s+(\d+) kB$/m)
}

/** The most that was ever resident. */
export function peakMb(pid: number): number {
  return memoryMb(pid, /^VmHWM:\s+(\d+) kB$/m)
}

/** Resident pages of files, the executable's most of all, which the kernel may drop. */
export function filePagesMb(pid: number): number {
  return memoryMb(pid, /^RssFile:\s+(\d+) kB$/m)
}

function memoryMb(pid: number, line: RegExp): number {
  return Number(line.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}
