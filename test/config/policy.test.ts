/** What must fit together in the part `policy` of a config, and with the rest of it. @module */

import { writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { type ConfigError, loadConfig, parseConfig } from '../../src/config/load.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const RULE = { name: 'a', expression: 'true', message: 'm', mode: 'audit' }
const LOCAL = { name: 'here', type: 'local', keyFile: '/keys' }

const test = suite('config/policy', () => ({}))

function withPolicy(policy: object, provider: object = LOCAL): object {
  return {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: '/run/kms.sock' },
    providers: [provider],
    policy,
  }
}

function signing(factClaims: object): object {
  const selfSigned = { keyFile: '/key', audience: 'vault', subject: 'cp-1', factClaims }
  const auth = { method: 'jwt', role: 'trousseau', selfSigned }
  return { name: 'v', type: 'vault', address: 'https://vault.example.org', key: 'k', auth }
}

const REFUSED: readonly (readonly [config: object, problem: RegExp])[] = [
  [withPolicy({ rules: [RULE, RULE] }), /policy\.rules\.1\.name: there is another rule/],
  [withPolicy({ rules: [{ ...RULE, name: 'opa' }] }), /policy\.rules\.0\.name: there is another/],
  [withPolicy({ rules: [{ ...RULE, name: 'A b' }] }), /policy\.rules\.0\.name: wanted a name of/],
  [
    withPolicy({ rules: [{ ...RULE, providers: ['b'] }] }),
    /policy\.rules\.0\.providers: no provider has the name "b"/,
  ],
  [withPolicy({ rules: [{ ...RULE, mode: 'on' }] }), /mode: wanted "enforce" or "audit"/],
  [withPolicy({ rules: [{ name: 'a', expression: 'true', message: 'm' }] }), /mode: is missing/],
  [
    withPolicy({ opa: { address: 'http://127.0.0.1:1', path: 'a', mode: 'enforce' } }),
    /policy\.opa\.noAnswer: is missing/,
  ],
  [withPolicy({ files: { 'a-b': '/file' } }), /policy\.files\.a-b: wanted a name of letters/],
  [
    withPolicy({}, signing({ age: 'boot.age' })),
    /auth\.selfSigned\.factClaims\.age: wanted one that stays the same for a while, and not "boot\.age"/,
  ],
  [
    withPolicy({}, signing({ manifest: 'files.apiServer.sha256' })),
    /factClaims\.manifest: wanted a fact of docs\/policy\.md/,
  ],
  [
    withPolicy({}, signing({ sub: 'kernel.lockdown' })),
    /factClaims\.sub: wanted a claim other than/,
  ],
]

for (const [config, problem] of REFUSED) {
  test(`a config is refused: ${problem.source}`, () => {
    assert.throws(() => parseConfig(config, 'test'), problem)
  })
}

test('facts may be signed with and without rules, and files of the policy among them', () => {
  const files = { apiServer: '/manifest' }
  const claims = { lockdown: 'kernel.lockdown', manifest: 'files.apiServer.sha256' }

  parseConfig(withPolicy({ files }, signing(claims)), 'test')
  const { policy: _, ...without } = withPolicy({}, signing({ lockdown: 'kernel.lockdown' })) as {
    policy: object
  }
  parseConfig(without, 'test')
})

test('all rules that cannot be used are listed at once, each where it stands in the file', async () => {
  await using folder = await tempFolder()
  const rules = `  - { name: a, message: m, mode: audit, expression: kernel.nothing }
  - { name: b, message: m, mode: audit, expression: "true" }
  - name: c
    message: m
    mode: audit
    expression: |
      true &&
        1 == "a"
`
  await writeFile(
    folder.at('c.yaml'),
    `apiVersion: trousseau.io/v1
kind: TrousseauConfig
socket: { path: /run/kms.sock }
providers: [{ name: here, type: local, keyFile: /keys }]
policy:
  rules:
${rules}`,
  )

  const { problems } = (await rejection(loadConfig(folder.at('c.yaml')))) as ConfigError

  const at = (line: number, column: number) => `${folder.at('c.yaml')}:${line}:${column}: `
  assert.equal(problems, [
    `${at(7, 41)}policy.rules.0.expression: line 1, column 7: there is no fact kernel.nothing: kernel has release, cmdline, lockdown, fips`,
    `${at(12, 5)}policy.rules.2.expression: line 2, column 4: == does not take int and string`,
  ])
})

test.run()
