/**
 * A control plane of kubeadm whose ServiceAccount tokens a key of OpenBao signs, by what
 * `trousseau manifests kubeadm` prints: controllers, kubelet and pods live on them, through a
 * rotation, and a boot without the key service.
 *
 * @module
 */

import * as assert from 'uvu/assert'
import { stringify } from 'yaml'
import { kidOf } from '../_lib/cluster/service_accounts.ts'
import { figure, since } from '../_lib/figure.ts'
import { installBaoSigner, SIGNER_SOCKET } from '../_lib/kubelet/bao_plugin.ts'
import { init, startControlPlaneMachine, untilReady } from '../_lib/kubelet/control_plane.ts'
import type { Machine } from '../_lib/kubelet/machine.ts'
import { enterNetwork, OUTSIDE } from '../_lib/kubelet/network.ts'
import { MANIFESTS, PAUSE_IMAGE } from '../_lib/kubelet/node.ts'
import { kubeadmFiles, PLUGIN, untilWell } from '../_lib/kubelet/plugin.ts'
import { startOpenBao } from '../_lib/services/vault/openbao.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const PKI = '/etc/kubernetes/pki'
/** Shorter than by default, so that the test is. */
const SOON = { refreshHint: '1s', activationDelay: '5s' }
const OFTEN = { health: { interval: '1s', staleAfter: '10s' } }
const LIMITS = { limitMs: 200_000, everyMs: 250 }

await enterNetwork(import.meta.url)

const test = suite('kubelet/signer', () => ({}), 900_000)

test('controllers, kubelet and pods of a kubeadm node live on tokens of the signer, and sa.key lies nowhere [J4]', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao({ host: OUTSIDE })
  const keySettings = { type: 'ecdsa-p256' }
  const options = { folder: folder.path, key: 'k8s-sa', keySettings, signs: true }
  const transit = await bao.setupTransit(options)
  await using machine = await startControlPlaneMachine(folder)
  await installBaoSigner(machine, transit, SOON, OFTEN)
  const patches = await kubeadmFiles(machine)
  await init(machine, await machine.read(`${patches}/kubeadm-config.yaml`), { patches })
  await untilReady(machine)
  const server = await machine.read(`${MANIFESTS}/kube-apiserver.yaml`)
  assert.match(server, `--service-account-signing-endpoint=${SIGNER_SOCKET}`)
  for (const name of ['kube-apiserver', 'kube-controller-manager']) {
    assert.not.match(await machine.read(`${MANIFESTS}/${name}.yaml`), /sa\.(key|pub)/)
  }
  // kubeadm makes them, and nothing misses them.
  await machine.run('rm', `${PKI}/sa.key`, `${PKI}/sa.pub`)

  // The controllers that make its pod ask the API server with tokens, and the kubelet mounts one.
  const first = await podsToken(machine, 'first')
  await isTaken(machine, first)
  assert.ok((await published(machine)).includes(kidOf(first)))

  await bao.rotate(transit)
  const before = await podsToken(machine, 'at-once')
  let turn = 0
  const young = await until(
    'the new version signs',
    async () => {
      const token = await podsToken(machine, `rotated-${turn++}`)
      return kidOf(token) !== kidOf(first) && token
    },
    { ...LIMITS, everyMs: 1_000 },
  )
  for (const token of [first, before, young]) await isTaken(machine, token)

  // A power cut, and no key service.
  await machine.powerOff()
  await bao.stop()
  const boot = performance.now()
  await machine.powerOn()
  await untilReady(machine)
  figure(`signer: boot without the key service: the API server is ready after ${since(boot)}`)
  for (const token of [first, young]) await isTaken(machine, token)
  await deploy(machine, 'waits')
  await until('the kubelet has no token for a new pod', async () =>
    (await machine.run('kubectl', 'get', 'events')).includes('FailedMount'),
  )
  const back = performance.now()
  await bao.start()
  const late = await tokenOf(machine, 'waits')
  figure(`signer: the pod that waited for its token runs ${since(back)} after the key service came`)
  await isTaken(machine, late)

  const killed = performance.now()
  await machine.run('kill', '-KILL', await machine.pidOf(PLUGIN))
  await untilWell(machine)
  const last = await podsToken(machine, 'last')
  figure(`signer: a pod made after kill -9 of the plugin runs after ${since(killed)}`)
  await isTaken(machine, last)
})

/** The token that the kubelet mounts into a new pod of a Deployment. */
async function podsToken(machine: Machine, name: string): Promise<string> {
  await deploy(machine, name)
  return await tokenOf(machine, name)
}

/** There is no network of pods, nor a node that is ready without one. */
async function deploy(machine: Machine, app: string): Promise<void> {
  const deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: app },
    spec: {
      selector: { matchLabels: { app } },
      template: {
        metadata: { labels: { app } },
        spec: {
          hostNetwork: true,
          tolerations: [{ operator: 'Exists' }],
          containers: [{ name: 'pause', image: PAUSE_IMAGE }],
        },
      },
    },
  }
  const file = `/etc/trousseau-test/${app}.yaml`
  await machine.write(file, stringify(deployment))
  // The account of pods is made by a controller.
  await until(
    'the Deployment is taken',
    () =>
      machine.run('kubectl', 'apply', '--filename', file).then(
        () => true,
        () => false,
      ),
    LIMITS,
  )
}

async function tokenOf(machine: Machine, app: string): Promise<string> {
  const about = ['pods', `--selector=app=${app}`]
  const path = '--output=jsonpath={range .items[*]}{.metadata.uid} {.status.phase}{"\\n"}{end}'
  const uid = await until(
    `a pod of ${app} runs`,
    async () =>
      /^(\S+) Running$/m.exec(
        await machine.run('kubectl', 'get', ...about, path).catch(() => ''),
      )?.[1],
    LIMITS,
  ).catch(async (cause: unknown) => {
    const said = await machine.shell(
      'kubectl get events,pods,replicasets --all-namespaces; kubectl describe nodes | grep -A 3 Taints',
    )
    throw new Error(`${said}\n${await machine.lastWords(5, 'kube-controller-manager')}`, { cause })
  })
  const mounted = `/var/lib/kubelet/pods/${uid}/volumes/kubernetes.io~projected`
  return await machine.shell(`cat ${mounted}/kube-api-access-*/token`)
}

/** As a client that has nothing but this token. */
async function isTaken(machine: Machine, token: string): Promise<void> {
  const server = [
    `--server=https://${machine.address}:6443`,
    `--certificate-authority=${PKI}/ca.crt`,
  ]
  const nobody = ['--kubeconfig=/dev/null', ...server, `--token=${token}`]
  const said = await machine.run('kubectl', 'auth', 'whoami', ...nobody)
  assert.match(said, 'system:serviceaccount:default:default')
}

/** The names of the keys that discovery leads to. */
async function published(machine: Machine): Promise<string[]> {
  const text = await machine.run('kubectl', 'get', '--raw=/openid/v1/jwks')
  const { keys }: { keys: { kid: string }[] } = JSON.parse(text)
  return keys.map(({ kid }) => kid)
}

test.run()
