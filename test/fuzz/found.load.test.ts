/** What the fuzzer found, each input as it was or as short as it can be. @module */

import process from 'node:process'
import { setImmediate as turn } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { suite } from '../_lib/uvu.ts'
import { inputOf } from './engine/corpus.ts'
import { readAtOnce } from './engine/instant_files.ts'
import { tried } from './engine/trial.ts'
import { bytesOf, textOf } from './surface.ts'
import { surfaceOf } from './surfaces/registry.ts'

readAtOnce()
const test = suite('fuzz/found', () => ({}))

/** The seed of a surface, changed. */
type Change = (seed: string) => string
interface Found {
  readonly surface: string
  readonly was: string
  /** The number of the seed that is changed; a text is an input by itself. */
  readonly input: string | { readonly seed: number; readonly change: Change }
}

const LONG = 60_000

const FOUND: readonly Found[] = [
  {
    surface: 'envelope',
    was: 'a member without a name was written where no room was counted for it (RangeError)',
    input: '+8rIFcrBKMAoJcCABpQYlHi4GJOEGI0lGpYsv8WmpZ1IPOBgFHLgYBSyYaIAAAA=',
  },
  {
    surface: 'rules',
    was: 'a function of the name of a thing that each object has was called (TypeError)',
    input: '"__proto__(1)"',
  },
  {
    surface: 'rules',
    was: 'the parser took seconds to say what is wrong with deep brackets',
    input: JSON.stringify('!('.repeat(400)),
  },
  {
    surface: 'etcd_record',
    was: 'each colon of a record of KMS v1 cost a copy of all before it',
    input: JSON.stringify(`/registry/a/b\nk8s:enc:kms:v1:${'a:~~'.repeat(100_000)}`),
  },
  {
    surface: 'etcd_record',
    was: 'a key in etcd gave a function for a resource',
    input: '"/registry/constructor/a/b\\n{}"',
  },
  {
    surface: 'recovery',
    was: 'an annotation for no envelope was a TypeError',
    input: { seed: 2, change: (seed) => seed.replace(/"aad":"[^"]*"/, '"aad":"0"') },
  },
  ...['config', 'encryption_config'].map((surface) => ({
    surface,
    was: 'the parser of YAML had no stack left for what nests thousands deep (RangeError)',
    input: JSON.stringify(`a: b\n${'? '.repeat(20_000)}k: v\nc: d\n`),
  })),
  {
    surface: 'config',
    was: 'a text in the place of a provider was repaired again and again (RangeError)',
    input: { seed: 0, change: (seed) => `${seed}  - n\n` },
  },
  {
    surface: 'encryption_config',
    was: 'empty lines behind the first document were each looked at from each',
    input: { seed: 0, change: (seed) => `${seed}---\n${'\n'.repeat(LONG)}` },
  },
  {
    surface: 'encryption_config',
    was: 'what is wrong was quoted once for each of many errors in one long line',
    input: { seed: 0, change: (seed) => seed.replace('MDEy', `MDEy${'&a [*a,'.repeat(17_000)}`) },
  },
  ...['config', 'encryption_config', 'kubeconfig', 'static_pod'].map((surface) => ({
    surface,
    was: 'each of many keys was compared with all before it',
    input: JSON.stringify(Array.from({ length: 16_000 }, (_, at) => `k${at}: 1`).join('\n')),
  })),
  ...['config', 'kubeconfig', 'static_pod'].map((surface) => ({
    surface,
    was: 'a key that is a mapping was written out again for each level that it stood in',
    input: JSON.stringify(`a:\n  ${'? '.repeat(400)}- b: c\n    d: e\n`),
  })),
  {
    surface: 'encryption_config',
    was: 'a mapping that is merged into itself was gone through for ever (RangeError)',
    input: '"a: &a {<<: *a}\\n"',
  },
  {
    surface: 'encryption_config',
    was: 'mappings that merge one another many times were not counted',
    input: JSON.stringify(
      `b: &b0 {}\n${Array.from({ length: 8 }, (_, at) => `b: &b${at + 1} {<<: [${`*b${at}, `.repeat(9)}]}\n`).join('')}`,
    ),
  },
  {
    surface: 'encryption_config',
    was: 'a long number for a duration was tried in each place',
    input: { seed: 0, change: (seed) => seed.replace('3s', `${'0'.repeat(LONG)}q`) },
  },
  ...['[ ', 'a = b '].map((start) => ({
    surface: 'aws_profile',
    was: `a line of ${JSON.stringify(start)} and many spaces was tried in each place`,
    input: JSON.stringify(`${start}${' '.repeat(LONG)}x`),
  })),
  {
    surface: 'aws',
    was: 'a state of a key that each object has was taken for one that is known (TypeError)',
    input: {
      seed: 0,
      change: (seed) => seed.replace('"KeyState":"Enabled"', '"KeyState":"constructor"'),
    },
  },
  {
    surface: 'aws',
    was: 'a failure with a name that each object has got no code',
    input: {
      seed: 0,
      change(seed) {
        const { way, answers } = JSON.parse(seed)
        const failed = { ...answers[0], status: 400, body: { __type: 'toString' } }
        return JSON.stringify({ way, answers: [failed, ...answers.slice(1)] })
      },
    },
  },
  {
    surface: 'aws',
    was: 'the date of a deletion that no calendar has was a RangeError',
    input: {
      seed: 0,
      change: (seed) =>
        seed.replace('"KeyState":"Enabled"', '"KeyState":"PendingDeletion","DeletionDate":1e20'),
    },
  },
  {
    surface: 'aws',
    was: 'spaces in credentials of STS stopped the process for minutes',
    input: {
      seed: 7,
      change: (seed) => seed.replaceAll('<Credentials>', `<Credentials><a>${' '.repeat(3_000)}<`),
    },
  },
  ...['AccessKeyId', 'SessionToken'].map((name) => ({
    surface: 'aws',
    was: `a ${name} of STS that no header can carry was a TypeError`,
    input: { seed: 7, change: (seed: string) => seed.replaceAll(`<${name}>`, `<${name}>\ufffd`) },
  })),
  {
    surface: 'kube_api',
    was: 'an API server that is silent was waited for without an end, by the fuzzer alone',
    input: {
      seed: 0,
      change: (seed) => seed.replace('"at":"GET /apis",', '"at":"GET /apis","error":"silence",'),
    },
  },
  {
    surface: 'azure',
    was: 'padding in the middle of a wrap was tried in each place',
    input: {
      seed: 0,
      change: (seed) => seed.replaceAll(/"value":"/g, `"value":"AAAA${'='.repeat(LONG)}`),
    },
  },
  {
    surface: 'opa',
    was: 'a refusal with an empty message had no reason',
    input: JSON.stringify('{"answers":[{"body":{"result":{"allow":false,"message":""}}}]}'),
  },
  {
    surface: 'kube_api',
    was: 'the version of the API of migrations was absent (ValiError)',
    input: JSON.stringify('{"answers":[{"at":"GET /apis/storagemigration.k8s.io","body":{}}]}'),
  },
  {
    surface: 'kube_api',
    was: 'a list that led back to where it was went on for ever',
    input: { seed: 0, change: (seed) => seed.replaceAll('"continue":""', '"continue":"more"') },
  },
  {
    surface: 'spiffe',
    was: 'the name of a key in the header of a JWT-SVID was no text (TypeError)',
    input: { seed: 0, change: (seed) => seed.replace('"kid":"one"', '"kid":["one"]') },
  },
]

for (const { surface, was, input } of FOUND) {
  test(`${surface}: ${was} [T15 T18]`, async () => {
    const target = await (await surfaceOf(surface)).open()
    try {
      const bytes = typeof input === 'string' ? inputOf(input) : changed(target.seeds, input)
      assert.is(await tried(target, bytes), undefined)
    } finally {
      await target[Symbol.asyncDispose]()
    }
  })
}

function changed(
  seeds: readonly Uint8Array[],
  { seed, change }: { readonly seed: number; readonly change: Change },
): Uint8Array {
  const before = textOf(seeds[seed] ?? new Uint8Array())
  const after = change(before)
  assert.is.not(after, before, 'something was changed')
  return bytesOf(after)
}

test('no reader of YAML has the process warn in the words of a file [F8]', async () => {
  const said: string[] = []
  const listen = ({ message }: Error) => said.push(message)
  process.on('warning', listen)
  // Keys that are no texts, of which the last two are a date and bytes in this version of YAML alone.
  const planted = [
    '? { planted: secret }\n: 1\n',
    'a: &planted { planted: secret }\n*planted : 1\n',
    '%YAML 1.1\n---\n2001-12-14: planted\n',
    '%YAML 1.1\n---\n!!binary cGxhbnRlZA==: 1\n',
  ]
  for (const surface of ['config', 'encryption_config', 'kubeconfig', 'static_pod']) {
    const target = await (await surfaceOf(surface)).open()
    for (const text of planted) await tried(target, bytesOf(text))
    await target[Symbol.asyncDispose]()
  }
  // A warning is told a turn later, and so is this one.
  process.emitWarning('the last one')
  while (!said.includes('the last one')) await turn()
  process.off('warning', listen)
  assert.equal(said, ['the last one'])
})

test.run()
