/** What every run of the bench needs: a real OpenBao with a transit key, and a folder. @module */

import { type OpenBao, startOpenBao, type Transit } from '../_lib/services/vault/openbao.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { Processes } from './processes.ts'

export interface Setup {
  readonly folder: TempFolder
  readonly bao: OpenBao
  readonly transit: Transit
  readonly processes: Processes
}

/** Starts everything, hands it to `use`, and ends it. */
export async function withSetup<T>(use: (setup: Setup) => Promise<T>): Promise<T> {
  await using folder = await tempFolder()
  await using bao = await startOpenBao()
  await using processes = new Processes()
  const transit = await bao.setupTransit({ folder: folder.path, defaultPolicy: true })
  return await use({ folder, bao, transit, processes })
}

/** The plugin's provider as an operator would write it, with an AppRole. */
export function vaultProvider({ provider }: Transit): Readonly<Record<string, unknown>> {
  return { type: 'vault', allowInsecureHttp: true, ...provider }
}
