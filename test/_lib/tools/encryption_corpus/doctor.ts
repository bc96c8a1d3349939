/** What doctor says of a file of the corpus. @module */

import { writeFile } from 'node:fs/promises'
import * as v from 'valibot'
import { runProgram } from '../../../../src/cli/program.ts'
import { memoryIo } from '../../console/memory_io.ts'
import type { TempFolder } from '../../temp_folder.ts'
import { ENDPOINT, type Sample } from './build.ts'

const answer = v.object({
  findings: v.array(
    v.object({
      id: v.string(),
      level: v.string(),
      what: v.string(),
      why: v.optional(v.string()),
      todo: v.optional(v.string()),
    }),
  ),
})
export type Said = v.InferOutput<typeof answer>['findings']

interface Asked extends Pick<Sample, 'text' | 'flags'> {
  /** Of Kubernetes; no manifest is shown to doctor where absent. */
  readonly version?: string | undefined
}

/** The file with the endpoint of `socket`. */
export function textFor({ text }: Pick<Sample, 'text'>, socket: string): string {
  return text.replaceAll(ENDPOINT.slice('unix:///'.length), socket.slice(1))
}

/** Asks doctor, which runs in this process, about one file after another: what it says of encryption. */
export async function encryptionDoctor(folder: TempFolder, socket: string) {
  const config = folder.at('doctor.json')
  await writeFile(
    config,
    JSON.stringify({
      apiVersion: 'trousseau.io/v1',
      kind: 'TrousseauConfig',
      socket: { path: socket },
      requestTimeout: '2s',
      providers: [{ name: 'here', type: 'local', keyFile: folder.at('keys') }],
    }),
  )
  return async ({ text, flags = [], version }: Asked): Promise<Said> => {
    const [file, manifest] = [folder.at('asked.yaml'), folder.at('manifest.json')]
    await writeFile(file, textFor({ text }, socket))
    await writeFile(manifest, JSON.stringify(podOf(flags, version, file)))
    const shown = version === undefined ? [] : ['--api-server-manifest', manifest]
    const args = ['doctor', '--config', config, '--encryption-config', file, ...shown]
    const io = memoryIo()
    await runProgram([...args, '--offline', '--json'], io)
    const { findings } = v.parse(answer, JSON.parse(io.printed()))
    return findings.filter(({ id }) => id === 'encryption' || id.startsWith('encryption-'))
  }
}

function podOf(flags: readonly string[], version = '', file: string): object {
  const container = {
    name: 'kube-apiserver',
    image: `registry.example.org/kube-apiserver:v${version}.0`,
    command: ['kube-apiserver', `--encryption-provider-config=${file}`, ...flags],
  }
  return { kind: 'Pod', spec: { containers: [container] } }
}
