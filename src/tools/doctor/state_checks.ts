/** Checks the folder for the state that survives a restart. @module */

import { stat } from 'node:fs/promises'
import { KmsError, systemCodeOf, systemReasonOf } from '../../base/errors.ts'
import { PatientDisk } from '../../config/patient_disk.ts'
import type { Io } from '../../console/io.ts'
import { type Finding, found } from './finding.ts'

/** @param pluginAnswers whether a plugin answers on its socket; it would have made the folder */
export async function stateFindings(
  folder: string,
  pluginAnswers: boolean,
  { mayHang }: Pick<Io, 'mayHang'>,
): Promise<Finding[]> {
  const disk = new PatientDisk(folder)
  mayHang(() => disk.stuck)
  const problem = await disk.ask(() => problemOf(folder, pluginAnswers)).catch(wordsOf)
  return found(problem !== undefined, {
    id: 'state-unusable',
    level: 'warning',
    what: problem ?? '',
    why: 'A restart in an outage of the key service ends the hold, and a rollback of the key is not seen.',
    todo: 'Name a folder of the plugin on a disk of the node, such as /var/lib/trousseau/state.',
  })
}

async function problemOf(folder: string, pluginAnswers: boolean): Promise<string | undefined> {
  try {
    return (await stat(folder)).isDirectory() ? undefined : `stateDir ${folder} is no folder`
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error
    return pluginAnswers ? `stateDir ${folder} is not there: the plugin cannot make it` : undefined
  }
}

function wordsOf(error: unknown): string {
  return error instanceof KmsError
    ? error.message
    : `stateDir cannot be looked at: ${systemReasonOf(error)}`
}
