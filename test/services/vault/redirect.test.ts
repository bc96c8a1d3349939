import * as assert from 'uvu/assert'
import { redirectedAway, redirectTarget } from '../../../src/services/vault/redirect.ts'
import { suite } from '../../_lib/uvu.ts'

const PATH = '/v1/transit/encrypt/k8s-etcd'
const test = suite('services/vault/redirect', () => ({}))

function answered(address: string, location: string | undefined) {
  const header = (name: string) => (name === 'location' ? location : undefined)
  return { status: 307, address, kept: true, serviceTime: undefined, header, text: '' }
}

const DIRECT = ['https://a:8200', 'https://b:8200']
const GATES = ['https://a.example.org/vault', 'https://b.example.org/vault']
const ONE_GATE = ['https://gate/a', 'https://gate/b', 'https://gate/c']

for (const [what, addresses, location, target] of [
  ['to a node', DIRECT, `https://b:8200${PATH}`, 'https://b:8200'],
  ['with a query', DIRECT, `https://b:8200${PATH}?x=1`, 'https://b:8200'],
  ['to a node by another port', DIRECT, `https://b:8443${PATH}`, undefined],
  ['from https to http', DIRECT, `http://b:8200${PATH}`, undefined],
  ['to another request of a node', DIRECT, 'https://b:8200/v1/sys/seal', undefined],
  ['to nobody', DIRECT, undefined, undefined],
  ['to no URL', DIRECT, 'https://[', undefined],
  ['to a gateway with its path', GATES, `https://b.example.org/vault${PATH}`, GATES[1]],
  ['to a gateway without its path', GATES, `https://b.example.org${PATH}`, GATES[1]],
  ['to a gateway with another path', GATES, `https://b.example.org/other${PATH}`, undefined],
  ['to a path of the one gateway', ONE_GATE, `https://gate/b${PATH}`, ONE_GATE[1]],
  ['to the one gateway, which may be any node', ONE_GATE, `https://gate${PATH}`, undefined],
] as const) {
  test(`redirectTarget() of a redirect ${what} is ${target ?? 'nobody'}`, () => {
    const answer = answered(addresses[0] ?? '', location)

    assert.is(redirectTarget(answer, `${PATH}?list=true`, addresses), target)
  })
}

for (const [what, location, words] of [
  [
    'elsewhere',
    `https://c:8200${PATH}`,
    /is a standby that redirects to c:8200, which addresses does not name/,
  ],
  ['to itself', `https://a:8200${PATH}`, /this same host, where no active node answers/],
  [
    'to http',
    `http://a:8200${PATH}`,
    /redirects to http:\/\/a:8200, .* give it an api_addr with https:/,
  ],
  [
    'to a login page',
    '/login?next=planted',
    /answered 307 with a redirect to a:8200, as a login page/,
  ],
  ['to nobody', undefined, /redirects to nowhere/],
] as const) {
  test(`redirectedAway() has words for a redirect ${what}, and none of its query`, () => {
    const { code, message } = redirectedAway(answered(DIRECT[0] ?? '', location), PATH)

    assert.is(code, 'unavailable')
    assert.match(message, words)
    assert.not.match(message, /planted/)
  })
}

test.run()
