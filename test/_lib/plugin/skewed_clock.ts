/** A process whose clock is wrong. @module */

import { writeFile } from 'node:fs/promises'
import type { TempFolder } from '../temp_folder.ts'

/** Flags of Node under which a process believes that it is so much later. */
export async function clockFlags(folder: TempFolder, skewMs: number): Promise<string[]> {
  if (skewMs === 0) return []
  const path = folder.at('clock.mjs')
  await writeFile(
    path,
    `const RealDate = globalThis.Date
globalThis.Date = class Date extends RealDate {
  constructor(...args) {
    super(...(args.length === 0 ? [RealDate.now() + ${skewMs}] : args))
  }
  static now() {
    return RealDate.now() + ${skewMs}
  }
}
`,
  )
  return ['--import', path]
}
