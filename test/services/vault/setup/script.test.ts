import { execFileSync, spawnSync } from 'node:child_process'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import process from 'node:process'
import * as assert from 'uvu/assert'
import type { KmsError } from '../../../../src/base/errors.ts'
import type { VaultAuth } from '../../../../src/services/vault/login/auth.ts'
import {
  decideNames,
  type SetupChoices,
  type SetupInput,
} from '../../../../src/services/vault/setup/input.ts'
import { policyText } from '../../../../src/services/vault/setup/policy.ts'
import { setupScript } from '../../../../src/services/vault/setup/script.ts'
import { setupSteps } from '../../../../src/services/vault/setup/steps.ts'
import { tempFolder } from '../../../_lib/temp_folder.ts'
import { suite } from '../../../_lib/uvu.ts'

/** What a config that says nothing of it has. */
const SIGNED = { lifetime: 300_000, claims: {} }
const APPROLE = {
  method: 'approle',
  mount: 'approle',
  roleIdFile: '/etc/trousseau/role-id',
  secretIdFile: '/etc/trousseau/secret-id',
} as const
const INPUT: SetupInput = {
  name: 'prod',
  address: 'https://vault.example.org:8200',
  mount: 'transit',
  key: 'k8s-etcd',
  tls: {},
  auth: APPROLE,
}
const IN_TPM = { keyFile: '/k.json', policyFile: undefined, device: '/dev/tpmrm0' }
const AUTHS: readonly VaultAuth[] = [
  APPROLE,
  { ...APPROLE, roleIdFile: undefined, roleId: 'id', wrappedRole: 'nodes' },
  { method: 'kubernetes', mount: 'kubernetes', role: 'kms', tokenFile: '/t' },
  { method: 'jwt', mount: 'jwt', role: 'kms', tokenFile: '/t' },
  {
    method: 'jwt',
    mount: 'jwt',
    role: 'kms',
    selfSigned: { ...SIGNED, keyFile: '/k', audience: 'https://vault', subject: 'node 1' },
  },
  {
    method: 'jwt',
    mount: 'jwt',
    role: 'kms',
    selfSigned: { ...SIGNED, tpm: IN_TPM, audience: 'https://vault', subject: 'node 1' },
  },
  {
    method: 'jwt',
    mount: 'jwt',
    role: 'kms',
    spiffe: { socket: 'unix:///s', audience: 'vault', id: 'spiffe://example.org/cp-1' },
  },
  {
    method: 'jwt',
    mount: 'jwt',
    role: 'kms',
    spiffe: { socket: 'unix:///s', audience: 'vault', id: undefined },
  },
  { method: 'cert', mount: 'cert' },
  { method: 'userpass', mount: 'userpass', username: 'kms', passwordFile: '/p' },
  { method: 'token', tokenFile: '/t' },
  { method: 'agent' },
]
const test = suite('services/vault/setup/script', () => ({}))

function scriptFor(input: Partial<SetupInput>, choices: Partial<SetupChoices> = {}): string {
  const setup = decideNames(
    { ...INPUT, ...input },
    { cli: 'vault', replacePolicy: false, ...choices },
  )
  return setupScript(setup, setupSteps(setup))
}

/** Runs a script with clients that only write down what they are called with. */
async function callsOf(script: string): Promise<{ calls: string[][]; made: string[] }> {
  await using folder = await tempFolder()
  await mkdir(folder.at('bin'))
  await mkdir(folder.at('work'))
  for (const name of ['vault', 'bao']) {
    const stub = `#!/bin/sh\nprintf '%s\\0' ${name} "$@" >> "$CALLS"; printf '\\0' >> "$CALLS"\n`
    // What is looked for is not there, so that the script makes it.
    const absent = '"read sys/"* | "read auth/"*/[!/]* | "policy read"'
    const ends = `case "$1 $2" in ${absent}) echo 'No value found at here' >&2; exit 2 ;; esac\n`
    await writeFile(folder.at(`bin/${name}`), `${stub}${ends}`, { mode: 0o755 })
  }
  const calls = folder.at('calls')
  const PATH = `${folder.at('bin')}:${process.env['PATH']}`
  const text = execFileSync('sh', ['-c', `${script}\nset +u; cat "$CALLS"`], {
    cwd: folder.at('work'),
    env: { PATH, CALLS: calls },
    encoding: 'utf8',
  })
  const words = text.split('\0\0').filter((call) => call !== '')
  return { calls: words.map((call) => call.split('\0')), made: await readdir(folder.at('work')) }
}

function refusalOf(work: () => unknown): KmsError {
  try {
    work()
  } catch (error) {
    return error as KmsError
  }
  throw new Error('Expected a refusal')
}

test('the script for approle does everything in the order of an operator', async () => {
  const { calls, made } = await callsOf(scriptFor({}))

  assert.equal(
    calls.map((call) => call.slice(0, 4).join(' ')),
    [
      // What failed is read again for its reason.
      ...Array(2).fill('vault policy read trousseau-k8s-etcd'),
      ...Array(2).fill('vault read auth/approle/role/trousseau-k8s-etcd'),
      'vault read sys/mounts/transit',
      'vault secrets enable -path=transit transit',
      'vault write transit/keys/k8s-etcd type=aes256-gcm96',
      'vault read transit/config/keys',
      'vault write transit/config/keys disable_upsert=true',
      'vault policy write trousseau-k8s-etcd -',
      'vault read sys/auth/approle',
      'vault auth enable -path=approle approle',
      'vault write auth/approle/role/trousseau-k8s-etcd token_policies=trousseau-k8s-etcd',
      'vault read -field=role_id auth/approle/role/trousseau-k8s-etcd/role-id',
      'vault write -f -field=secret_id auth/approle/role/trousseau-k8s-etcd/secret-id',
    ].map((line) => line.split(' ').slice(0, 4).join(' ')),
  )
  assert.equal(calls[6]?.slice(3), [
    'type=aes256-gcm96',
    'derived=false',
    'exportable=false',
    'allow_plaintext_backup=false',
  ])
  assert.equal(calls[12]?.slice(3), [
    'token_policies=trousseau-k8s-etcd',
    'token_no_default_policy=true',
    'token_ttl=1h',
    'token_max_ttl=24h',
  ])
  assert.equal(made, ['prod-role-id', 'prod-secret-id'])
})

test('the script writes the very policy, and says where on the nodes each file belongs', () => {
  const script = scriptFor({})

  assert.match(script, `<<'POLICY'\n${policyText(INPUT)}POLICY\n`)
  assert.match(
    script,
    '\n# On each node: install -m 0600 prod-secret-id /etc/trousseau/secret-id\n',
  )
})

test('the script talks to the service of the config, in its namespace and by its authority', () => {
  const script = scriptFor({
    namespace: 'admin/team',
    tls: { caFile: '/etc/ca.pem', serverName: 'vault' },
  })

  assert.match(script, '\nexport VAULT_ADDR=https://vault.example.org:8200\n')
  assert.match(script, '\nexport VAULT_NAMESPACE=admin/team\n')
  assert.match(
    script,
    /\n\[ -n "\$\{VAULT_CACERT:-\}" \] \|\| export VAULT_CACERT=\/etc\/ca\.pem\n/,
  )
  assert.match(script, '\nexport VAULT_TLS_SERVER_NAME=vault\n')
  assert.match(scriptFor({}), '\nunset VAULT_NAMESPACE BAO_NAMESPACE\n')
})

for (const auth of AUTHS) {
  const kind = ['selfSigned', 'spiffe', 'wrappedRole'].find((key) => key in auth)
  const title = `${auth.method}${kind === undefined ? '' : ` with ${kind}`}`
  for (const cli of ['vault', 'bao'] as const) {
    test(`the script for ${title} runs with ${cli}, and nothing that is to be filled in is run`, async () => {
      const script = scriptFor({ auth }, { cli })

      const { calls } = await callsOf(script)

      assert.ok(calls.length >= 5)
      assert.ok(calls.every(([client]) => client === cli))
      assert.not.match(calls.flat().join('\n'), /<[^>]*>/)
    })
  }
}

test('nothing in a config is ever run, wherever in the script it stands', async () => {
  const evil = `/etc/'$(touch pwned)'\ntouch pwned\n"\`touch pwned\``
  const input = {
    address: 'https://$(touch$IFS./pwned)`touch$IFS./pwned`',
    tls: { caFile: evil, serverName: evil },
  }
  for (const auth of [
    { ...APPROLE, roleIdFile: evil, secretIdFile: evil },
    { method: 'kubernetes', mount: 'k', role: 'r', tokenFile: evil },
    { method: 'token', tokenFile: evil },
    {
      method: 'jwt',
      mount: 'j',
      role: 'r',
      selfSigned: { ...SIGNED, keyFile: evil, audience: evil, subject: evil },
    },
    {
      method: 'jwt',
      mount: 'j',
      role: 'r',
      spiffe: { socket: evil, audience: evil, id: evil },
    },
  ] as const) {
    const { calls, made } = await callsOf(scriptFor({ ...input, auth }))

    assert.not.ok(made.includes('pwned'))
    if (auth.method === 'jwt') assert.ok(calls.flat().includes(`bound_audiences=${evil}`))
  }
})

test('a role or user of another cluster stops the script of every login before it writes', async () => {
  const evil = `/etc/'$(touch pwned)'\ntouch pwned\n"\`touch pwned\``
  const selfSigned = { ...SIGNED, keyFile: evil, audience: evil, subject: evil }
  const hostile = { method: 'jwt', mount: 'j', role: 'r', selfSigned } as const
  await using folder = await tempFolder()
  for (const [auth, policies, why] of [
    ...AUTHS.filter(({ method }) => !['token', 'agent'].includes(method)).map(
      (each) => [each, 'other', /, with another token_policies\./] as const,
    ),
    [hostile, 'trousseau-k8s-etcd', /, with another role_type\./] as const,
  ]) {
    const stub = `vault() { case "$*" in
      policy*) echo 'No policy named: here' >&2; false ;;
      *field=token_policies*) echo '[${policies}]' ;;
      read*) ;;
      *) echo "wrote $*" ;;
    esac; }`

    const { status, stdout, stderr } = spawnSync('sh', [], {
      cwd: folder.path,
      env: { PATH: process.env['PATH'] },
      input: `${stub}\n${scriptFor({ auth })}`,
      encoding: 'utf8',
    })

    assert.is(status, 1, auth.method)
    assert.is(stdout, '')
    assert.match(stderr, /^Nothing was changed: auth\//)
    assert.match(stderr, why)
    assert.equal(await readdir(folder.path), [])
  }
})

test('a run that failed half way leaves no file that the next one would take for the secret', async () => {
  const script = scriptFor({}).replaceAll('vault read -field=role_id', 'false')
  await using folder = await tempFolder()
  const nothing = `vault() { case "$*" in read*|*" read "*) echo 'No value found at here' >&2; false ;; esac; }`

  let failed = false
  try {
    execFileSync('sh', ['-c', `${nothing}\n${script}`], {
      cwd: folder.path,
      env: { PATH: process.env['PATH'] },
    })
  } catch {
    failed = true
  }

  assert.ok(failed)
  // The step was begun.
  assert.equal(await readdir(folder.path), ['prod-role-id.new'])
})

test('policy and role are named after mount and key in lower case, unless config or operator name them', () => {
  const names = (input: Partial<SetupInput>, choices: Partial<SetupChoices> = {}) => {
    const all = { cli: 'vault', replacePolicy: false, ...choices } as const
    const { policyName, role } = decideNames({ ...INPUT, ...input }, all)
    return [policyName, role]
  }
  const kubernetes = { method: 'kubernetes', mount: 'k', role: 'own', tokenFile: '/t' } as const

  assert.equal(names({ key: 'K8s' }), ['trousseau-k8s', 'trousseau-k8s'])
  assert.equal(names({ mount: 'Tr/2' }), ['trousseau-tr-2-k8s-etcd', 'trousseau-tr-2-k8s-etcd'])
  assert.equal(names({ mount: 'tr' }, { policyName: 'p' }), ['p', 'p'])
  assert.equal(names({}, { policyName: 'p' }), ['p', 'p'])
  assert.equal(names({}, { policyName: 'p', role: 'r' }), ['p', 'r'])
  assert.equal(names({ auth: kubernetes }), ['trousseau-k8s-etcd', 'own'])
  const error = refusalOf(() => names({ auth: kubernetes }, { role: 'other' }))
  assert.is(error.code, 'request_invalid')
  assert.match(error.message, /"own" as the role: leave --role out/)
})

test.run()
