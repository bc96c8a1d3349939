import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import * as assert from 'uvu/assert'
import { KmsError } from '../../src/base/errors.ts'
import type { DecryptRequest } from '../../src/base/service.ts'
import { formsOpenedBy, PROVIDER_TYPES } from '../../src/services/registry.ts'
import { azureVersion, azureVersions } from '../../src/takeover/azure.ts'
import { conflictOf, type ForeignReader, findForeign } from '../../src/takeover/foreign.ts'
import {
  FOREIGN_FORMS,
  FORMS,
  type ForeignFormName,
  LOOK_ALIKES,
} from '../../src/takeover/forms.ts'
import { SeededRandom } from '../_lib/seeded_random.ts'
import {
  AWS_KEY,
  AZURE_KEY,
  GOOGLE_KEY,
  google,
  SAMPLES,
  sampleOf,
  v1,
  v2,
} from '../_lib/takeover/samples.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('takeover/foreign', () => ({}))

const SEED = Buffer.from('0123456789abcdef0123456789abcdef')

function reader(
  type: string,
  reads: readonly ForeignFormName[],
  more: Partial<ForeignReader> = {},
): ForeignReader {
  return { name: `my-${type}`, type, reads, ...more }
}

function openerOf(form: ForeignFormName): string {
  return PROVIDER_TYPES.find((type) => formsOpenedBy(type).includes(form)) ?? ''
}

/** Reads a form with the provider of the type that opens it. */
function readerOf(form: ForeignFormName, type: string = openerOf(form)): ForeignReader {
  return reader(type, [form])
}

function errorOf(run: () => unknown): { code: string; message: string } {
  try {
    run()
  } catch (error) {
    assert.instance(error, KmsError)
    const { code, message } = error as KmsError
    return { code, message }
  }
  return { code: 'none', message: '' }
}

for (const { title, form, type, request, version, bytes } of SAMPLES) {
  test(`findForeign() reads ${title}`, () => {
    const found = findForeign(request, [readerOf(form, type)])

    assert.is(found?.length, 1)
    assert.is(found?.[0]?.form, form)
    assert.equal(
      { ...found?.[0]?.item, bytes: Buffer.from(found?.[0]?.item.bytes ?? []) },
      { version, bytes, associatedData: undefined },
    )
  })
}

for (const form of FOREIGN_FORMS) {
  test(`${form} is read only where the config says so`, () => {
    const others = FOREIGN_FORMS.filter((name) => !alike(form, name)).map((name) => readerOf(name))
    const samples = SAMPLES.filter((sample) => sample.form === form)

    for (const { request } of samples) {
      assert.is(errorOf(() => findForeign(request, others)).code, 'ciphertext_invalid')
      assert.is(errorOf(() => findForeign(request, [])).code, 'ciphertext_invalid')
    }
  })

  test(`${form} has a sample of each API that stored it`, () => {
    const apis = SAMPLES.filter((sample) => sample.form === form).map(({ request }) => request.api)

    assert.equal(new Set(apis), new Set(FORMS[form].apis))
  })
}

test('no sample is taken for another form, but by look-alikes', () => {
  for (const { form, request, title } of SAMPLES) {
    for (const other of FOREIGN_FORMS) {
      if (other === form || alike(form, other)) continue
      assert.is(isTaken(request, other), false, `${title} by ${other}`)
    }
  }
})

test('each pair of look-alikes has bytes that are both', () => {
  const rsa = Buffer.concat([Buffer.from('1'), randomBytes(255)])
  const either = [...SAMPLES.map(({ request }) => request), v1(rsa)]

  for (const [a, b] of LOOK_ALIKES) {
    assert.ok(
      either.some((request) => isTaken(request, a) && isTaken(request, b)),
      `${a}, ${b}`,
    )
  }
})

test('no envelope of Trousseau is foreign, and an empty ciphertext is left to its own error', () => {
  const readers = FOREIGN_FORMS.map((name) => readerOf(name))
  for (const bytes of [[], [0xf5], [0xf5, 0x01, ...randomBytes(300)]]) {
    for (const request of [v1(Buffer.from(bytes)), v2(Buffer.from(bytes), 'tr1-any-v1-x')]) {
      assert.is(findForeign(request, readers), undefined)
    }
  }
})

test('what Key Vault made may begin like an envelope: under v2 its key id and annotations decide', () => {
  const { request } = sampleOf('azure-kubernetes-kms', 'bytes, v2')
  const ciphertext = Buffer.from(request.ciphertext)
  ciphertext[0] = 0xf5
  const readers = [readerOf('azure-kubernetes-kms')]

  assert.is(findForeign({ ...request, ciphertext }, readers)?.length, 1)
  assert.is(findForeign({ ...request, ciphertext, keyId: 'tr1-any-v1-x' }, readers), undefined)
  assert.is(findForeign({ ...request, ciphertext, annotations: {} }, readers), undefined)
  assert.is(findForeign(v1(ciphertext), readers), undefined)
})

const TRANSIT = `vault:v3:${randomBytes(60).toString('base64')}`

for (const [what, text] of [
  ['another engine', TRANSIT.replace('vault:', 'bank:')],
  ['capitals', TRANSIT.replace('vault', 'Vault')],
  ['version 0', TRANSIT.replace('v3', 'v0')],
  ['a leading zero', TRANSIT.replace('v3', 'v03')],
  ['no version', TRANSIT.replace('v3', 'v')],
  ['a version of letters', TRANSIT.replace('v3', 'vx')],
  ['a version without end', TRANSIT.replace('v3', `v${'9'.repeat(5_000)}`)],
  ['no second colon', TRANSIT.replace('v3:', 'v3')],
  ['one more colon', TRANSIT.replace('v3:', 'v3::')],
  ['a blank', ` ${TRANSIT}`],
  ['a newline after it', `${TRANSIT}\n`],
  ['base64 of the URL alphabet', `vault:v1:${'-_'.repeat(40)}`],
  ['padding in the middle', `vault:v1:${'AA=='.repeat(20)}`],
  ['base64 cut short', TRANSIT.slice(0, -1)],
  ['bits left over', `vault:v1:${'A'.repeat(41)}B==`],
  ['nothing sealed', `vault:v1:${randomBytes(28).toString('base64')}`],
  ['nothing at all', 'vault:v1:'],
] as const) {
  test(`a transit ciphertext with ${what} is refused`, () => {
    const error = errorOf(() => findForeign(v1(Buffer.from(text)), [readerOf('trousseau-1')]))

    assert.is(error.code, 'ciphertext_invalid')
  })
}

for (const [form, keyIds] of [
  ['vault-kubernetes-kms', ['0', '-1', '1.5', '1'.repeat(13), 'one', '1 ', 'kleidi-kms-plugin']],
  ['vault-kms-provider', ['v2', '1'.repeat(13)]],
  [
    'kleidi',
    ['1', 'kleidi-kms-plugin_', 'kleidi-kms-plugin_1', 'x-kleidi-kms-plugin_1_1700000000'],
  ],
  ['aws-encryption-provider', ['1', 'my-key', 'a'.repeat(64), 'arn:aws:s3:::bucket', GOOGLE_KEY]],
  ['azure-kubernetes-kms', ['1', 'a'.repeat(63), 'A'.repeat(64), `${'a'.repeat(64)} `]],
  ['k8s-cloudkms-plugin', ['1', GOOGLE_KEY, `${GOOGLE_KEY}/cryptoKeyVersions/0`, AWS_KEY]],
] as const) {
  for (const keyId of ['', 'tr1-any-v1-x', ...keyIds]) {
    test(`${form} is refused under the key id "${keyId.slice(0, 40)}" [D3]`, () => {
      const { request } = sampleOf(form, 'v2')

      const error = errorOf(() => findForeign({ ...request, keyId }, [readerOf(form)]))

      assert.is(error.code, 'key_unknown')
      assert.match(error.message, form)
    })
  }

  test(`${form} is refused with annotations that it does not make`, () => {
    const { request } = sampleOf(form, 'v2')
    const { annotations } = request
    const [key] = Object.keys(annotations)
    const wrong: DecryptRequest['annotations'][] = [
      { ...annotations, 'other.example.org': Buffer.from('1') },
      { ['__proto__.example.org']: Buffer.from('1') },
    ]
    if (key !== undefined) {
      const rest = Object.fromEntries(Object.entries(annotations).filter(([name]) => name !== key))
      wrong.push(rest, { ...annotations, [key]: Buffer.from('2') })
      wrong.push({ ...annotations, [key]: new Uint8Array(30_000) })
    }

    for (const given of wrong) {
      const error = errorOf(() => findForeign({ ...request, annotations: given }, [readerOf(form)]))
      assert.is(error.code, 'request_invalid')
    }
  })
}

test('a key id that names another key than the config is refused [D3]', () => {
  const aws = sampleOf('aws-encryption-provider', 'v2').request
  const gcp = sampleOf('k8s-cloudkms-plugin', 'v2').request
  const other = AWS_KEY.replace(/.$/, '0')
  const readers = (key: string) => [
    reader('awskms', ['aws-encryption-provider'], { key }),
    reader('gcpkms', ['k8s-cloudkms-plugin'], { key }),
  ]

  assert.is(findForeign(aws, readers(AWS_KEY))?.length, 1)
  assert.is(findForeign(gcp, readers(GOOGLE_KEY))?.length, 1)
  assert.is(errorOf(() => findForeign(aws, readers(other))).code, 'key_unknown')
  assert.is(errorOf(() => findForeign(gcp, readers(`${GOOGLE_KEY}2`))).code, 'key_unknown')
})

for (const [keyId, key] of [
  [AWS_KEY, AWS_KEY.slice(AWS_KEY.indexOf('/') + 1)],
  [AWS_KEY.slice(AWS_KEY.indexOf('/') + 1), AWS_KEY],
  ['alias/k8s', AWS_KEY],
  [AWS_KEY, 'arn:aws:kms:us-west-2:111122223333:alias/k8s'],
  ['alias/k8s', 'arn:aws:kms:us-west-2:111122223333:alias/k8s'],
  [
    `arn:aws:kms:us-west-2:111122223333:key/mrk-${'0'.repeat(32)}`,
    `arn:aws:kms:eu-west-1:111122223333:key/mrk-${'0'.repeat(32)}`,
  ],
] as const) {
  test(`the key id ${keyId} can be of the key ${key}`, () => {
    const { request } = sampleOf('aws-encryption-provider', 'v2')

    const found = findForeign({ ...request, keyId }, [
      reader('awskms', ['aws-encryption-provider'], { key }),
    ])

    assert.is(found?.length, 1)
  })
}

test('the key suffix of k8s-cloudkms-plugin, and projects with a domain, are read', () => {
  const key = GOOGLE_KEY.replace('my-project', 'example.com:my-project')
  for (const keyId of [
    `${GOOGLE_KEY}/cryptoKeyVersions/7:again`,
    `${key}/cryptoKeyVersions/7`,
    `${key}/cryptoKeyVersions/7:a:b`,
  ]) {
    assert.is(findForeign(v2(google(), keyId), [readerOf('k8s-cloudkms-plugin')])?.length, 1)
  }
})

test('each line of Trousseau 2 goes to the one provider it names', () => {
  const blob = randomBytes(152)
  const request = v1(Buffer.from(`main:-:${b64(TRANSIT)}\nawskms:-:${blob.toString('base64')}\n`))
  const one = reader('vault', ['trousseau-2'], { name: 'main' })
  const two = reader('vault', ['trousseau-2'], { name: 'other' })
  const aws = reader('awskms', ['trousseau-2'], { name: 'in-frankfurt' })

  const found = findForeign(request, [two, one, aws])

  assert.equal(
    found?.map(({ reader: { name }, item }) => [name, item.version, Buffer.from(item.bytes)]),
    [
      ['main', '3', Buffer.from(TRANSIT.split(':')[2] ?? '', 'base64')],
      ['in-frankfurt', '', blob],
    ],
  )
})

test('a line of Trousseau 2 whose name nobody has goes to the only provider of the type it meant', () => {
  const request = v1(Buffer.from(`vault:-:${b64(TRANSIT)}\n`))
  const one = reader('vault', ['trousseau-2'], { name: 'one' })
  const two = reader('vault', ['trousseau-2'], { name: 'two' })

  assert.is(findForeign(request, [one])?.[0]?.reader, one)
  assert.is(errorOf(() => findForeign(request, [one, two])).code, 'key_unknown')
  assert.is(findForeign(request, [one, { ...two, name: 'vault' }])?.[0]?.reader.name, 'vault')
})

test('a line of Trousseau 2 goes to no provider of another type than its own', () => {
  const request = v1(Buffer.from(`vault:-:${b64(TRANSIT)}\n`))

  const error = errorOf(() =>
    findForeign(request, [reader('awskms', ['trousseau-2'], { name: 'vault' })]),
  )

  assert.is(error.code, 'key_unknown')
})

test('the plaintext in a line of the debug provider goes to no key service', () => {
  const request = v1(Buffer.from(`debug:-:${SEED.toString('base64')}\n`))
  const readers = ['debug', 'awskms'].map((name) => reader('awskms', ['trousseau-2'], { name }))

  const error = errorOf(() => findForeign(request, readers))

  assert.is(error.code, 'key_unknown')
})

test('a wrapped key that Trousseau 2 lost has an error of its own, where no other line is left', () => {
  const readers = [readerOf('trousseau-2'), reader('awskms', ['trousseau-2'])]
  const both = v1(Buffer.from(`vault:-:\nawskms:-:${randomBytes(152).toString('base64')}\n`))

  assert.is(
    errorOf(() => findForeign(v1(Buffer.from('vault:-:\n')), readers)).code,
    'ciphertext_empty',
  )
  assert.is(errorOf(() => findForeign(v1(Buffer.from('vault:-:\n')), [])).code, 'ciphertext_empty')
  assert.is(findForeign(both, readers)?.[0]?.reader.type, 'awskms')
})

for (const [what, text] of [
  ['no newline at its end', `vault:-:${TRANSIT}`],
  ['a blank line', `vault:-:${TRANSIT}\n\n`],
  ['a line without a name', `:-:${TRANSIT}\n`],
  ['a name of 65 characters', `${'v'.repeat(65)}:-:${TRANSIT}\n`],
  ['a name with a blank', `my vault:-:${TRANSIT}\n`],
  ['the same name twice', `vault:-:${TRANSIT}\nvault:-:${TRANSIT}\n`],
  ['another separator', `vault:${TRANSIT}\n`],
  ['a value that is no base64', 'vault:-:?\n'],
  ['nine lines', Array.from({ length: 9 }, (_, at) => `v${at}:-:${TRANSIT}\n`).join('')],
] as const) {
  test(`lines of Trousseau 2 with ${what} are refused`, () => {
    const error = errorOf(() => findForeign(v1(Buffer.from(text)), [readerOf('trousseau-2')]))

    assert.is(error.code, 'ciphertext_invalid')
  })
}

for (const [form, words] of [
  ['vault-kubernetes-kms', 'v2'],
  ['trousseau-1', 'v1beta1'],
] as const) {
  test(`plaintextOf() takes from ${form} what an API server stores the wrap of, and nothing else`, () => {
    const { request } = sampleOf(form, words)
    const [found] = findForeign(request, [readerOf(form)]) ?? []

    assert.equal(Buffer.from(found?.plaintextOf(SEED) ?? []), SEED)
    for (const wrong of [randomBytes(31), randomBytes(33), randomBytes(16), new Uint8Array()]) {
      assert.is(errorOf(() => found?.plaintextOf(wrong)).code, 'ciphertext_invalid')
    }
  })
}

test('plaintextOf() takes the text away that later builds of the Azure plugin put around a seed', () => {
  const { request } = sampleOf('azure-kubernetes-kms', 'bytes, v2')
  const [found] = findForeign(request, [readerOf('azure-kubernetes-kms')]) ?? []

  assert.equal(Buffer.from(found?.plaintextOf(Buffer.from(SEED.toString('base64url'))) ?? []), SEED)
  assert.is(errorOf(() => found?.plaintextOf(SEED)).code, 'ciphertext_invalid')
})

test('azureVersions() finds the version that a key id is the digest of', () => {
  const { version } = sampleOf('azure-kubernetes-kms', 'text, v2')
  const labels = ['0'.repeat(32), AZURE_KEY.version, 'f'.repeat(32)]

  assert.equal(azureVersions(version, AZURE_KEY.url, labels), [`RSA-OAEP-256/${AZURE_KEY.version}`])
  assert.equal(azureVersions(version, `${AZURE_KEY.url}2`, labels), [])
  assert.equal(azureVersions(version, AZURE_KEY.url, []), [])
})

test('azureVersions() names every version where v1beta1 kept none', () => {
  const { version } = sampleOf('azure-kubernetes-kms', 'text, v1beta1')

  assert.equal(azureVersions(version, AZURE_KEY.url, ['a', 'b']), ['RSA1_5/a', 'RSA1_5/b'])
})

test('the key id of Azure is what its plugin made of this key', () => {
  // The vector of the plugin's own tests.
  const version = azureVersion(
    'v2',
    '567d783db3043fe298fe0d9eeedb0029a3815cdd4fe4b059d018c91e6acffe3b',
  )

  assert.equal(azureVersions(version, 'https://example.vault.azure.net/keys/mykey', ['ABCD']), [
    'RSA-OAEP-256/ABCD',
  ])
})

test('an error names the form that the config lacks', () => {
  const kleidi = sampleOf('kleidi', 'v2').request
  const transit = sampleOf('trousseau-1', 'v1beta1').request

  assert.match(
    errorOf(() => findForeign(kleidi, [readerOf('vault-kubernetes-kms')])).message,
    /looks like one of kleidi, which no provider reads/,
  )
  assert.match(
    errorOf(() => findForeign({ ...kleidi, keyId: '3', annotations: {} }, [readerOf('kleidi')]))
      .message,
    /looks like one of vault-kubernetes-kms, which no provider reads/,
  )
  assert.match(
    errorOf(() => findForeign(transit, [])).message,
    /trousseau-1 or vault-kubernetes-kms, which no provider reads/,
  )
  assert.is(
    errorOf(() => findForeign(v1(randomBytes(100).fill(0xff)), [])).message,
    'Ciphertext was not made by Trousseau',
  )
})

test('conflictOf() finds two providers whose forms cannot be told apart', () => {
  const vault = (name: string, ...reads: ForeignFormName[]) => reader('vault', reads, { name })

  assert.is(
    conflictOf([vault('a', 'trousseau-1'), vault('b', 'kleidi', 'vault-kubernetes-kms')]),
    '"a" reads trousseau-1 and "b" reads vault-kubernetes-kms',
  )
  assert.ok(conflictOf([vault('a', 'kleidi'), vault('b', 'kleidi')]))
  assert.is(conflictOf([vault('a', 'trousseau-1', 'vault-kubernetes-kms')]), undefined)
  assert.is(conflictOf([vault('a', 'kleidi'), vault('b', 'trousseau-1')]), undefined)
  assert.is(conflictOf([vault('a', 'trousseau-2'), vault('b', 'trousseau-2')]), undefined)
  assert.is(conflictOf([{ name: 'a' }, { name: 'b' }]), undefined)
})

test('formsOpenedBy() knows what a type of provider opens', () => {
  assert.equal(formsOpenedBy('local'), [])
  assert.equal(formsOpenedBy('awskms'), ['trousseau-2', 'aws-encryption-provider'])
  assert.equal(formsOpenedBy('azurekms'), ['trousseau-2', 'azure-kubernetes-kms'])
  assert.equal(formsOpenedBy('gcpkms'), ['k8s-cloudkms-plugin'])
})

test('hostile bytes, key ids and annotations make an error or one item, and nothing else', () => {
  const random = SeededRandom.announced('kms/foreign')
  const readers = FOREIGN_FORMS.map((name) => readerOf(name))
  for (let round = 0; round < 4_000; round += 1) {
    const request = hostile(random)

    const found = countOf(request, readers)

    assert.ok(found <= 1, `${found} items`)
  }
})

test('what is read of a changed ciphertext is never what was stored', () => {
  const random = SeededRandom.announced('kms/foreign changed')
  for (const { form, type, request, version, bytes } of SAMPLES) {
    // The service's own bytes have no spelling that could be another's.
    if (['k8s-cloudkms-plugin', 'aws-encryption-provider'].includes(form)) continue
    for (let round = 0; round < 300; round += 1) {
      const ciphertext = random.mutate(request.ciphertext)
      const items = itemsOf({ ...request, ciphertext }, [readerOf(form, type)])
      for (const { item } of items) {
        const same = Buffer.from(item.bytes).equals(bytes) && item.version === version
        assert.is(same, false)
      }
    }
  }
})

test('the longest requests are judged, and longer ones left to the error of an envelope', () => {
  const readers = FOREIGN_FORMS.map((name) => readerOf(name))
  const line = `vault:-:${'A'.repeat(60_000)}`
  for (const request of [
    v1(Buffer.alloc(65_535, 'A')),
    v1(Buffer.from(`${line}\n`)),
    v1(Buffer.from('\n'.repeat(65_535))),
    v1(Buffer.from('a:-:\n'.repeat(13_000))),
    v1(Buffer.from(':'.repeat(65_535))),
    v1(Buffer.from('='.repeat(65_532))),
    v2(Buffer.alloc(1_024, 'A'), '9'.repeat(1_024)),
    v2(Buffer.alloc(1_024, 0xff), 'projects/'.repeat(100)),
  ]) {
    assert.ok(countOf(request, readers) <= 1)
  }
  assert.is(findForeign(v1(Buffer.alloc(65_536, 1)), readers), undefined)
  assert.is(findForeign(v2(google(1_025), `${GOOGLE_KEY}/cryptoKeyVersions/1`), readers), undefined)
})

function alike(a: ForeignFormName, b: ForeignFormName): boolean {
  return a === b || LOOK_ALIKES.some((pair) => pair.includes(a) && pair.includes(b))
}

function isTaken(request: DecryptRequest, form: ForeignFormName): boolean {
  return itemsOf(request, [readerOf(form)]).length > 0
}

function itemsOf(request: DecryptRequest, readers: readonly ForeignReader[]) {
  try {
    return findForeign(request, readers) ?? []
  } catch (error) {
    if (error instanceof KmsError) return []
    throw error
  }
}

/** How many items there are; anything but an error of ours fails the test. */
function countOf(request: DecryptRequest, readers: readonly ForeignReader[]): number {
  return itemsOf(request, readers).length
}

function b64(text: string): string {
  return Buffer.from(text).toString('base64')
}

function hostile(random: SeededRandom): DecryptRequest {
  const { request } = random.pick(SAMPLES)
  const other = random.pick(SAMPLES).request
  const ciphertext = random.pick([
    () => random.bytes(random.below(1_100)),
    () => random.mutate(request.ciphertext),
    () => request.ciphertext,
  ])()
  const { keyId } = random.pick([request, other])
  const annotations = random.pick([
    request.annotations,
    other.annotations,
    { 'x.example.org': random.bytes(9) },
  ])
  return { api: random.pick(['v1beta1', 'v2']), ciphertext, keyId, annotations }
}

test.run()
