/**
 * Doctor compared with the real kube-apiserver: it never approves a file with which that exits, and
 * never reports an error where it starts.
 *
 * @module
 */

import * as assert from 'uvu/assert'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import { chosenVersion } from '../_lib/cluster/binaries.ts'
import { inParallel } from '../_lib/cluster/kube_api.ts'
import { figure } from '../_lib/figure.ts'
import { startPluginProcess } from '../_lib/plugin/process.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { CORPUS } from '../_lib/tools/encryption_corpus/all.ts'
import type { Sample } from '../_lib/tools/encryption_corpus/build.ts'
import { encryptionDoctor, type Said, textFor } from '../_lib/tools/encryption_corpus/doctor.ts'
import { suite } from '../_lib/uvu.ts'
import { encryptionVerdicts, type Verdict } from './encryption_verdict.ts'

/** Secrets are in the clear, or with somebody else, which keeps no API server from starting. */
const OF_USE = ['encryption-endpoint', 'encryption-secrets-missing']
const test = suite('cluster/encryption_corpus', () => ({}), 600_000)

test(`doctor and kube-apiserver agree about each of ${CORPUS.length} files`, async () => {
  await using folder = await tempFolder()
  const keyFile = folder.at('keys')
  await createKeyFile(keyFile, Date.now)
  const provider = { name: 'here', type: 'local', keyFile }
  await using plugin = await startPluginProcess({
    folder: folder.path,
    config: { providers: [provider] },
  })
  const verdict = await encryptionVerdicts(folder)
  const doctor = await encryptionDoctor(folder, plugin.socketPath)
  const verdicts = new Map<Sample, Verdict>()
  const start = performance.now()

  await inParallel(
    CORPUS.length,
    async (index) => {
      const sample = CORPUS[index]
      if (sample === undefined) return
      verdicts.set(sample, await verdict(textFor(sample, plugin.socketPath), sample.flags ?? []))
    },
    2,
  )
  const wrong: string[] = []
  for (const [sample, { starts, said }] of verdicts) {
    const { what, exits } = sample
    if (starts !== (exits === undefined)) wrong.push(`${what} is in the wrong list: ${said}`)
    for (const version of [undefined, chosenVersion()]) {
      const findings = await doctor({ ...sample, version })
      const told = findings.map(({ id, level }) => `${level} ${id}`).join(', ')
      if (!isFair(findings, exits)) wrong.push(`${what}: ${said}; doctor says ${told}`)
    }
  }

  assert.equal(wrong.join('\n'), '')
  assert.is(verdicts.size, CORPUS.length)
  const started = [...verdicts.values()].filter(({ starts }) => starts).length
  const seconds = Math.round((performance.now() - start) / 1_000)
  figure(
    `Kubernetes ${chosenVersion()} starts with ${started} of ${CORPUS.length} files, and doctor agrees about all; ${seconds} s`,
  )
})

/** Never an error where it starts; the right words where it exits, as a warning where flags decide. */
function isFair(findings: Said, exits: string | undefined): boolean {
  if (exits === undefined) {
    return findings.every(({ level, id }) => level !== 'error' || OF_USE.includes(id))
  }
  return findings.some(
    ({ id, level }) => id === exits && (level === 'error' || level === 'warning'),
  )
}

test.run()
