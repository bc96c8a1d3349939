/** Checks the signer of ServiceAccount tokens: its socket, what answers there, and the API server's flags. @module */

import { KmsError } from '../../base/errors.ts'
import type { SignerConfig } from '../../config/signer.ts'
import { printable } from '../../console/output.ts'
import { RpcError } from '../../grpc/client.ts'
import { reach } from '../../grpc/reach.ts'
import { headerOf, SignerProbe } from '../conformance/signer_probe.ts'
import { goDuration } from '../kube/go_values.ts'
import { type Container, flagOf, plain, type StaticPod } from '../kube/static_pod.ts'
import { rightsOf, socketMounted, userFindings } from './api_server_checks.ts'
import { apiServerOf, factsOf } from './api_server_facts.ts'
import { type Finding, found, ok } from './finding.ts'
import { folderFindings, openMode } from './socket_checks.ts'

const LIMIT_MS = 10_000
/** The first whose API servers ask for what is served here. */
const FIRST_MINOR = 36
const ENDPOINT = 'service-account-signing-endpoint'
const KEY_FILES = ['service-account-key-file', 'service-account-signing-key-file']
const LONGEST_LIFE = 'service-account-max-token-expiration'

export async function signerFindings({ socket }: SignerConfig): Promise<Finding[]> {
  const missing = await folderFindings(socket.path)
  if (missing.length > 0) return missing
  try {
    await reach(socket.path, LIMIT_MS)
  } catch (error) {
    return [
      {
        id: 'signer-dead',
        level: 'error',
        what: error instanceof KmsError ? error.message : String(error),
        why: 'An API server that names it gives no token, and cannot start.',
        todo: 'Start the plugin; its log says why it has no such socket.',
      },
    ]
  }
  return [...(await openFindings(socket.path)), ...(await answerFindings(socket.path))]
}

async function openFindings(path: string): Promise<Finding[]> {
  const mode = await openMode(path)
  return found(mode !== undefined, {
    id: 'signer-open',
    level: 'error',
    what: `${path} has mode ${mode}: every user of this node may have tokens signed`,
    why: 'Whoever can is every ServiceAccount, and so everything.',
    todo: 'Set signer.socket.mode "0600" and run the plugin as the user of the API server, or "0660" with a group that both are in.',
  })
}

/** Has a token signed that nobody takes. */
async function answerFindings(path: string): Promise<Finding[]> {
  using probe = new SignerProbe(path, LIMIT_MS)
  try {
    const { keys } = await probe.firstKeys()
    const kid = headerOf(await probe.firstSign())?.['kid']
    const isPublished = keys.some(({ keyId }) => keyId === kid)
    if (!isPublished) throw new Error('it signs with a key that it does not publish')
    const known = `${path} signs with ${printable(String(kid))}, and publishes ${keys.length} keys. "trousseau check --signer" looks at every rule`
    return [ok('signer', known)]
  } catch (error) {
    const said = error instanceof RpcError ? `${error.status}: ${error.message}` : messageOf(error)
    return [
      {
        id: 'signer-unwell',
        level: 'error',
        what: `The signer at ${path} does not work: ${printable(said)}`,
        why: 'No pod gets a token, and within an hour those of the controllers end.',
        todo: 'docs/signer.md says what goes on without it, and for how long.',
      },
    ]
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** What the API server's manifest says of the signer that the config has. */
export async function signerManifestFindings(
  pod: StaticPod | undefined,
  { socket, maxTokenLife }: SignerConfig,
): Promise<Finding[]> {
  const container = apiServerOf(pod)
  if (pod === undefined || container === undefined) return []
  const path = flagOf(container, ENDPOINT)
  if (path === undefined) {
    return [
      {
        id: 'manifest-signer-unused',
        level: 'notice',
        what: `The API server has no --${ENDPOINT}: it signs tokens with a key in a file`,
        why: 'The signer of the config is asked for nothing.',
        todo: 'docs/signer.md has the way from sa.key, step by step.',
      },
    ]
  }
  const findings = [
    ...flagFindings(pod, container, maxTokenLife),
    ...(await socketMounted(pod, container, plain(path), socket.path)),
    ...userFindings(pod, container, await rightsOf(socket)),
  ]
  return findings.length > 0
    ? findings
    : [ok('manifest-signer', "The API server's manifest names the signer, and mounts its folder")]
}

function flagFindings(pod: StaticPod, container: Container, maxTokenLife: number): Finding[] {
  const files = KEY_FILES.filter((name) => flagOf(container, name) !== undefined)
  const { minor } = factsOf(pod)
  const longest = flagOf(container, LONGEST_LIFE)
  const tooLong = longest === undefined ? false : (goDuration(longest) ?? 0) > maxTokenLife
  return [
    ...found(files.length > 0, {
      id: 'manifest-signer-files',
      level: 'error',
      what: `The API server has --${files.join(' and --')} beside --${ENDPOINT}`,
      why: 'It does not start with both (rule J4).',
      todo: 'Take the files away: "trousseau manifests kubeadm" prints the patches, since kubeadm writes them again.',
    }),
    ...found(minor !== undefined && minor < FIRST_MINOR, {
      id: 'manifest-signer-version',
      level: 'error',
      what: `The API server is Kubernetes 1.${minor}, and --${ENDPOINT} needs 1.${FIRST_MINOR}`,
      why: 'Earlier ones ask for another version of the service, which is not served.',
      todo: 'Upgrade the cluster first.',
    }),
    ...found(tooLong, {
      id: 'manifest-signer-life',
      level: 'error',
      what: `--${LONGEST_LIFE} is ${printable(longest ?? '')}, longer than signer.maxTokenLife`,
      why: 'The API server does not start (rule J5).',
      todo: 'Lower the flag, or raise signer.maxTokenLife and restart the plugin first.',
    }),
  ]
}
