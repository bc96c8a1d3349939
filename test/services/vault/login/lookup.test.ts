import * as assert from 'uvu/assert'
import { KmsError } from '../../../../src/base/errors.ts'
import { VaultStatusError } from '../../../../src/services/vault/api.ts'
import { refusesToken } from '../../../../src/services/vault/login/lookup.ts'
import { suite } from '../../../_lib/uvu.ts'

const test = suite('services/vault/login/lookup', () => ({}))

/** As OpenBao 2.7.2 and Vault 1.21.0 answered. */
const DENIALS: readonly (readonly [title: string, text: string, ofToken: boolean])[] = [
  ['a dead token at OpenBao, or Vault before 1.16', '{"errors":["permission denied"]}\n', true],
  [
    'a dead token at Vault',
    '{"errors":["2 errors occurred:\\n\\t* permission denied\\n\\t* invalid token\\n\\n"]}\n',
    true,
  ],
  ['policy', '{"errors":["1 error occurred:\\n\\t* permission denied\\n\\n"]}\n', false],
  ['a proxy in between', '<html>403 Forbidden</html>', false],
]

for (const [title, text, ofToken] of DENIALS) {
  test(`a denial by ${title} is ${ofToken ? '' : 'not '}of the token`, () => {
    const error = new VaultStatusError('GET /v1/transit/keys/k', {
      status: 403,
      address: 'https://vault',
      serviceTime: undefined,
      kept: false,
      text,
      header: () => undefined,
    })

    assert.is(refusesToken(error), ofToken)
  })
}

test('what is no answer of the service is no denial of the token', () => {
  assert.is(refusesToken(new KmsError('No answer', { code: 'timeout' })), false)
})

test.run()
