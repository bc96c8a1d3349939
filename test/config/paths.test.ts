/** The paths of what is asked beside the providers are those of the node that doctor and manifests see. @module */

import * as assert from 'uvu/assert'
import { parseConfig } from '../../src/config/load.ts'
import { pathsOf } from '../../src/config/paths.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('config/paths', () => ({}))

function paths(more: object) {
  const config = {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: '/run/trousseau/kms.sock' },
    providers: [{ name: 'here', type: 'local', keyFile: '/keys' }],
    ...more,
  }
  return pathsOf(parseConfig(config, 'test'))
}

const TLS = { caFile: '/ca', caDir: '/authorities', certFile: '/cert', keyFile: '/cert-key' }
const FILES = ['/keys', '/token', '/ca', '/cert', '/cert-key']

test('pathsOf() has the files, the folder and the socket of traces', () => {
  const files = paths({ traces: { endpoint: 'https://otel', tls: TLS, tokenFile: '/token' } })
  assert.equal([files.files, files.folders, files.sockets], [FILES, ['/authorities'], []])
  assert.equal(paths({ traces: { endpoint: 'unix:///run/otel.sock' } }).sockets, ['/run/otel.sock'])
})

test('pathsOf() has the socket of the signer, its key or its login, and the keys of before', () => {
  const socket = { path: '/run/tokens/signer.sock' }
  const legacyKeys = [{ file: '/etc/kubernetes/pki/sa.pub' }]
  const own = { socket, legacyKeys }
  const auth = { method: 'token', tokenFile: '/etc/trousseau/token' }
  const tls = { caFile: '/etc/trousseau/ca.pem' }
  const vault = { type: 'vault', address: 'https://vault.example.org', key: 'sa', tls, auth }
  const local = { type: 'local', keyFile: '/var/lib/trousseau/signer-keys' }
  const stateDir = '/var/lib/trousseau/state'

  const one = paths({ stateDir, signer: { ...own, key: vault } })
  for (const file of [legacyKeys[0]?.file ?? '', auth.tokenFile, tls.caFile]) {
    assert.ok(one.files.includes(file), file)
  }
  assert.ok(one.listens.includes(socket.path))
  assert.ok(one.written.includes('/run/tokens'))
  assert.ok(paths({ stateDir, signer: { ...own, key: local } }).files.includes(local.keyFile))
})

test('pathsOf() has those of an outside decision', () => {
  const opa = { path: 'a/b', mode: 'enforce', noAnswer: 'deny' } as const
  const files = paths({
    policy: { opa: { ...opa, address: 'https://opa', tls: TLS, tokenFile: '/token' } },
  })
  assert.equal([files.files, files.folders, files.sockets], [FILES, ['/authorities'], []])
  const { sockets } = paths({ policy: { opa: { ...opa, address: 'unix:///run/opa.sock' } } })
  assert.equal(sockets, ['/run/opa.sock'])
})

test.run()
