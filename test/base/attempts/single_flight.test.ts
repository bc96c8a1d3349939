import * as assert from 'uvu/assert'
import { SingleFlight } from '../../../src/base/attempts/single_flight.ts'
import { KmsError } from '../../../src/base/errors.ts'
import { rejection, suite } from '../../_lib/uvu.ts'

const test = suite('base/attempts/single_flight', () => {
  const flight = new SingleFlight<string>()
  const gates: PromiseWithResolvers<string>[] = []
  const run = (signal = new AbortController().signal) =>
    flight.run(() => {
      const gate = Promise.withResolvers<string>()
      gates.push(gate)
      return gate.promise
    }, signal)
  return { flight, gates, run }
})

test('all who ask while it is under way get the result of one attempt', async ({ gates, run }) => {
  const all = [run(), run(), run()]
  gates[0]?.resolve('done')

  assert.equal(await Promise.all(all), ['done', 'done', 'done'])
  assert.is(gates.length, 1)
})

test('all of them get its failure, and the next who asks begins anew', async ({
  flight,
  gates,
  run,
}) => {
  const failure = new KmsError('Gone', { code: 'unavailable' })
  const all = [rejection(run()), rejection(run())]
  gates[0]?.reject(failure)
  assert.equal(await Promise.all(all), [failure, failure])
  assert.is(flight.underWay, undefined)

  const again = run()
  gates[1]?.resolve('back')

  assert.is(await again, 'back')
})

test('one that gives up waits no longer, and the attempt goes on for the others', async ({
  gates,
  run,
}) => {
  const controller = new AbortController()
  const reason = new KmsError('Enough', { code: 'timeout' })
  const gone = rejection(run(controller.signal))
  const stays = run()
  controller.abort(reason)
  assert.is(await gone, reason)

  gates[0]?.resolve('done')

  assert.is(await stays, 'done')
  assert.is(gates.length, 1)
})

test.run()
