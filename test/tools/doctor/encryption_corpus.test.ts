/**
 * What doctor says of each file of the corpus; the cluster's tests show that kube-apiserver decides
 * the same.
 *
 * @module
 */

import * as assert from 'uvu/assert'
import { createKeyFile } from '../../../src/services/local/key_file.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { CORPUS } from '../../_lib/tools/encryption_corpus/all.ts'
import { file, KEY_32, kms, rule, type Sample } from '../../_lib/tools/encryption_corpus/build.ts'
import { encryptionDoctor, type Said } from '../../_lib/tools/encryption_corpus/doctor.ts'
import { suite } from '../../_lib/uvu.ts'

const SOCKET = '/run/trousseau-corpus/kms.sock'
const BAD = ['error', 'warning']
const test = suite('tools/doctor/encryption_corpus', setup)

async function setup() {
  const folder = await tempFolder()
  await createKeyFile(folder.at('keys'), Date.now)
  const doctor = await encryptionDoctor(folder, SOCKET)
  return { doctor, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() }
}

function idsOf(findings: Said, levels: readonly string[]): string[] {
  return findings.filter(({ level }) => levels.includes(level)).map(({ id }) => id)
}

function sampleOf(what: string): Sample {
  const sample = CORPUS.find((each) => each.what === what)
  if (sample === undefined) throw new Error(`The corpus has no ${what}`)
  return sample
}

test('no two files of the corpus have one name', () => {
  assert.ok(CORPUS.length >= 80)
  assert.is(new Set(CORPUS.map(({ what }) => what)).size, CORPUS.length)
})

test('doctor says why kube-apiserver exits, where, and what to do, and shows no key', async (context) => {
  await using all = context
  const wrong: string[] = []
  for (const sample of CORPUS.filter(({ exits }) => exits !== undefined)) {
    const findings = await all.doctor({ ...sample, version: '1.37' })
    const said = findings.find(({ id, level }) => id === sample.exits && level === 'error')
    if (said === undefined) wrong.push(`${sample.what}: ${JSON.stringify(findings)}`)
    else {
      assert.match(
        said.what,
        /^At (?:the file|apiVersion and kind|[\w.[\]]+|.*\(no name of a field\)): /,
      )
      assert.ok(said.why?.includes('does not start') && said.todo !== undefined, said.what)
    }
    assert.not.match(JSON.stringify(findings), /AAAA|1234567812345678/)
  }
  assert.is(wrong.join('\n'), '')
})

test('doctor finds nothing in what kube-apiserver starts with, beside what is told of its use', async (context) => {
  await using all = context
  for (const sample of CORPUS.filter(({ exits }) => exits === undefined)) {
    const findings = await all.doctor({ ...sample, version: '1.37' })
    const told = idsOf(findings, [...BAD, 'notice'])
    assert.equal(new Set(told), new Set(sample.told), sample.what)
  }
})

test('what only strict decoding refuses is a warning for Kubernetes 1.30, and an error where the version is not known', async (context) => {
  await using all = context
  for (const what of ['cacheSize', 'a YAML key twice', 'metadata']) {
    const sample = sampleOf(what)
    const old = await all.doctor({ ...sample, version: '1.30' })
    assert.equal(idsOf(old, ['error']), [], what)
    assert.equal(idsOf(old, ['warning']), [sample.exits], what)
    assert.match(old[0]?.why ?? '', /1\.30 takes no notice of it, and 1\.31 does not start/)
    for (const version of ['1.31', undefined]) {
      assert.equal(idsOf(await all.doctor({ ...sample, version }), ['error']), [sample.exits], what)
    }
  }
})

test('what flags of the API server decide is a warning where they are not known', async (context) => {
  await using all = context
  const levels = async (what: string, version?: string) => {
    const findings = await all.doctor({ ...sampleOf(what), version })
    return findings.map(({ id, level }) => `${level} ${id}`)
  }
  assert.equal(await levels('v1'), ['warning encryption-v1'])
  assert.equal(await levels('v1', '1.37'), ['error encryption-v1'])
  assert.equal(await levels('no apiVersion'), ['warning encryption-version-missing'])
  const twice = 'one name twice under v1'
  assert.ok((await levels(twice)).includes('warning encryption-name-twice'))
  assert.not.ok((await levels(twice, '1.37')).some((each) => each.includes('name-twice')))
  assert.ok((await levels(`${twice}, with reload`, '1.37')).includes('error encryption-name-twice'))
})

test('doctor shows no key that stands where a name belongs, and ends with aliases in circles', async (context) => {
  await using all = context
  const keys = `aescbc: { keys: [{ name: a, secret: ${KEY_32} }], "${KEY_32}": x }`
  const findings = await all.doctor({ text: file(rule('[secrets]', kms(), keys)) })
  assert.equal(idsOf(findings, BAD), ['encryption-unknown-field'])
  assert.not.match(JSON.stringify(findings), /AAAA/)
  assert.match(
    findings[0]?.what ?? '',
    /resources\[0\]\.providers\[1\]\.aescbc\.\(no name of a field\)/,
  )

  const circle = await all.doctor({ text: 'a: &a [*a]\n' })
  assert.equal(idsOf(circle, BAD), ['encryption-syntax'])
})

test.run()
