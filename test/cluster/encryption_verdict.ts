/**
 * Whether the real kube-apiserver starts with an EncryptionConfiguration. It reads that file early;
 * a missing audit policy makes it exit right after that, so that no started API server has to be
 * stopped.
 *
 * @module
 */

import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { chosenVersion, kubernetesBinaries } from '../_lib/cluster/binaries.ts'
import { freePort } from '../_lib/free_port.ts'
import type { TempFolder } from '../_lib/temp_folder.ts'

const BEHIND = 'loading audit policy file'
const run = promisify(execFile)

export interface Verdict {
  readonly starts: boolean
  /** What it printed of it. */
  readonly said: string
}

export async function encryptionVerdicts(folder: TempFolder) {
  const { apiServer } = await kubernetesBinaries(chosenVersion())
  const key = folder.at('service-account.pem')
  await run('openssl', ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', key])
  let asked = 0
  return async (text: string, flags: readonly string[]): Promise<Verdict> => {
    asked += 1
    const file = folder.at(`encryption-${asked}.yaml`)
    await writeFile(file, text)
    const output = await run(apiServer, [
      '--etcd-servers=http://127.0.0.1:1',
      '--bind-address=127.0.0.1',
      `--secure-port=${await freePort()}`,
      '--advertise-address=127.0.0.1',
      `--cert-dir=${folder.path}`,
      '--service-cluster-ip-range=10.0.0.0/24',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${key}`,
      `--service-account-signing-key-file=${key}`,
      `--encryption-provider-config=${file}`,
      `--audit-policy-file=${folder.at('nothing')}`,
      ...flags,
    ]).catch((error: { readonly stderr: string }) => error)
    const [, said] = /"command failed" err=(?:"|<\n\t)(.*)$/m.exec(output.stderr) ?? []
    if (said === undefined)
      throw new Error(`kube-apiserver says neither: ${output.stderr.slice(-2_000)}`)
    return { starts: said.startsWith(BEHIND), said }
  }
}
