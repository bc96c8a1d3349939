import * as assert from 'uvu/assert'
import { VaultStatusError } from '../../../../src/services/vault/api.ts'
import type { VaultAdmin } from '../../../../src/services/vault/setup/admin.ts'
import { decideNames } from '../../../../src/services/vault/setup/input.ts'
import { setupSteps } from '../../../../src/services/vault/setup/steps.ts'
import { rejection, suite } from '../../../_lib/uvu.ts'

const UPSERT = 'transit/config/keys'
const test = suite('services/vault/setup/steps', () => ({}))

/** A server that has the engine or not, and never heard of `config/keys`, as older ones. */
function olderServer({ mounted, status = 404 }: { mounted: boolean; status?: number }): VaultAdmin {
  const mounts = mounted ? { 'transit/': { type: 'transit' } } : {}
  const answer = {
    status,
    address: 'https://vault',
    serviceTime: undefined,
    kept: false,
    text: '{"errors":[]}',
  }
  return {
    read: (path) => Promise.resolve(path === 'sys/mounts' ? mounts : undefined),
    write: (path) =>
      Promise.reject(new VaultStatusError(`POST ${path}`, { ...answer, header: () => undefined })),
    close: () => Promise.resolve(),
  }
}

function upsertStep() {
  const auth = { method: 'agent' } as const
  const place = { name: 'prod', address: 'https://vault', mount: 'transit', key: 'k8s-etcd' }
  const setup = decideNames({ ...place, tls: {}, auth }, { cli: 'bao', replacePolicy: false })
  const step = setupSteps(setup).find(({ what }) => what === UPSERT)
  if (step === undefined) throw new Error('No such step')
  return step
}

test('a service without disable_upsert is known while planning, where its engine is there', async () => {
  const { state, detail } = await upsertStep().look(olderServer({ mounted: true }))

  assert.is(state, 'ok')
  assert.match(detail, 'has no such setting')
})

test('a service without disable_upsert does not stop --apply half-way, where its engine was made just now', async () => {
  const admin = olderServer({ mounted: false })
  const step = upsertStep()

  const finding = await step.look(admin)
  await step.apply?.(admin, finding)

  assert.is(finding.state, 'change')
})

test('another failure of disable_upsert is one', async () => {
  const admin = olderServer({ mounted: false, status: 403 })
  const step = upsertStep()

  const error = await rejection(
    Promise.resolve(step.apply?.(admin, { state: 'change', detail: '' })),
  )

  assert.instance(error, VaultStatusError)
})

test.run()
