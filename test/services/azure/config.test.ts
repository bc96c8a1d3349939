/** What the config leads to: names, hosts, proxies, and the role that the plugin needs. */

import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { azureKmsConfig, placeOf } from '../../../src/services/azure/config.ts'
import { azurePolicyText } from '../../../src/services/azure/policy.ts'
import { azureSetup } from '../../_lib/services/azure/setup.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('services/azure/config', () => ({}))

test('ids and hosts are of the names and the cloud, whatever the case and the endpoint', async () => {
  await using vault = await azureSetup()
  await using hsm = await azureSetup({ hsm: true })
  const place = (change: object) => {
    const { endpoints: _, ...config } = vault.azure.config
    return placeOf(v.parse(azureKmsConfig, { ...config, ...change }))
  }

  assert.is(vault.provider.id, 'azurekms:vault/fake-vault/k8s-etcd')
  assert.is(hsm.provider.id, 'azurekms:hsm/fake-vault/k8s-etcd')
  const hosts = [
    [{}, 'https://fake-vault.vault.azure.net', 'https://vault.azure.net'],
    [
      { cloud: 'usGovernment' },
      'https://fake-vault.vault.usgovcloudapi.net',
      'https://vault.usgovcloudapi.net',
    ],
    [
      { cloud: 'china', vault: undefined, managedHsm: 'hsm' },
      'https://hsm.managedhsm.azure.cn',
      'https://managedhsm.azure.cn',
    ],
    [
      { endpoints: { vault: 'https://v.private.example/' }, audience: 'https://vault.example' },
      'https://v.private.example',
      'https://vault.example',
    ],
  ] as const
  for (const [change, address, audience] of hosts) {
    const found = place(change)
    assert.equal([found.address, found.audience], [address, audience])
  }
})

test('a config that cannot work is refused', async () => {
  await using one = await azureSetup()
  const wrong: readonly object[] = [
    { vault: undefined },
    { managedHsm: 'both' },
    { algorithm: 'A256GCM' },
    { keySize: 1024 },
    { allowInsecureHttp: false },
    { vault: undefined, managedHsm: 'hsm', keySize: 2048 },
    { vault: 'a.b' },
    { key: 'a/b' },
    { cloud: 'german' },
    { login: { method: 'managedIdentity', clientId: 'a', resourceId: '/subscriptions/x' } },
  ]

  for (const change of wrong) {
    assert.not.ok(v.is(azureKmsConfig, { ...one.azure.config, ...change }), JSON.stringify(change))
  }
})

test('everything but the metadata service is asked through the proxy', async () => {
  await using proxy = await startProxy()
  const change = { proxy: { url: proxy.url } }
  const login = { method: 'managedIdentity' }
  await using identity = await azureSetup({ change: { ...change, login } })
  await using secret = await azureSetup({ change })

  for (const { limited, provider } of [identity, secret]) {
    await limited((call) => provider.keyState(call))
  }

  const { keys, metadata } = identity.azure
  const hosts = [keys, secret.azure.keys, secret.azure.entra]
  assert.equal(new Set(proxy.asked), new Set(hosts.map(({ address }) => new URL(address).host)))
  assert.is(metadata.received.length, 1)
})

/** Passes on what it gets, and remembers whom it was for. */
async function startProxy() {
  const asked: string[] = []
  const proxy = createServer((incoming, response) => {
    const { url = '', method, headers } = incoming
    asked.push(new URL(url).host)
    const outgoing = request(url, { method, headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode ?? 0, answer.headers)
      answer.pipe(response)
    })
    incoming.pipe(outgoing)
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  return {
    asked,
    url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]() {
      proxy.closeAllConnections()
      proxy.close()
      return Promise.resolve()
    },
  }
}

/** Runs the commands with a client that only remembers what it was told. */
async function commandsOf(change: object, ...args: readonly string[]): Promise<string[][]> {
  await using folder = await tempFolder()
  await using one = await azureSetup()
  const config = v.parse(azureKmsConfig, { ...one.azure.config, ...change })
  const told = folder.at('told')
  await writeFile(folder.at('policy.sh'), azurePolicyText(config))
  await writeFile(
    folder.at('az'),
    `#!/bin/sh\nfor one; do printf '%s\\0' "$one"; done >> ${told}\nprintf '\\036' >> ${told}\necho "id-of-$1-$2"\n`,
    { mode: 0o755 },
  )
  const env = { PATH: `${folder.path}:/usr/bin:/bin` }
  await promisify(execFile)('sh', [folder.at('policy.sh'), ...args], { env })
  const commands = (await readFile(told, 'utf8')).split('\u001e').slice(0, -1)
  return commands.map((command) => command.split('\0').slice(0, -1))
}

test('the role for a vault holds three actions, on this key alone', async () => {
  const [, , define, assign] = await commandsOf({})

  assert.equal(define?.slice(0, 4), ['role', 'definition', 'create', '--role-definition'])
  const { DataActions, AssignableScopes } = JSON.parse(define?.[4] ?? '')
  assert.equal(DataActions, [
    'Microsoft.KeyVault/vaults/keys/read',
    'Microsoft.KeyVault/vaults/keys/encrypt/action',
    'Microsoft.KeyVault/vaults/keys/decrypt/action',
  ])
  assert.equal(AssignableScopes, ['/subscriptions/id-of-account-show'])
  assert.equal(assign?.slice(3), [
    ...['--role', 'Trousseau KMS', '--assignee', '66666666-7777-8888-9999-000000000000'],
    ...['--scope', 'id-of-keyvault-show/keys/k8s-etcd'],
  ])
})

test('the role for a managed HSM is one of its own', async () => {
  const change = { vault: undefined, managedHsm: 'hsm1', login: { method: 'azureJson' } }

  const [define, assign] = await commandsOf(change, 'an-object-id')

  assert.equal(define?.slice(0, 6), [
    ...['keyvault', 'role', 'definition', 'create', '--hsm-name', 'hsm1'],
  ])
  assert.equal(JSON.parse(define?.[7] ?? '').dataActions, [
    'Microsoft.KeyVault/managedHsm/keys/read/action',
    'Microsoft.KeyVault/managedHsm/keys/encrypt/action',
    'Microsoft.KeyVault/managedHsm/keys/decrypt/action',
  ])
  assert.equal(assign?.slice(4), [
    ...['--hsm-name', 'hsm1', '--role', 'Trousseau KMS', '--assignee', 'an-object-id'],
    ...['--scope', '/keys/k8s-etcd'],
  ])
})

test('the role goes to whom the config names, and to nobody where nobody is named', async () => {
  const resourceId = '/subscriptions/s/resourceGroups/g/providers/i'
  const [show, , , , assign] = await commandsOf({
    login: { method: 'managedIdentity', resourceId },
  })
  const [, , , byClient] = await commandsOf({ login: { method: 'managedIdentity', clientId: 'c' } })
  const nobody = await commandsOf({ login: { method: 'managedIdentity' } }).catch(String)

  assert.equal(show?.slice(0, 4), ['identity', 'show', '--ids', resourceId])
  assert.is(assign?.[6], 'id-of-identity-show')
  assert.is(byClient?.[6], 'c')
  assert.match(String(nobody), 'object id of the identity')
})

test.run()
