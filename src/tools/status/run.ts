/** `trousseau status` shows what kube-apiserver sees of any plugin. @module */

import { jsonText } from '../../base/json_text.ts'
import { keyIdHash } from '../../base/key_id_hash.ts'
import { MAX_KEY_ID_BYTES } from '../../base/limits.ts'
import { endpointsOf } from '../../config/endpoints.ts'
import { loadConfig } from '../../config/load.ts'
import type { Config } from '../../config/schema.ts'
import { fitted } from '../../console/fitted.ts'
import type { Io } from '../../console/io.ts'
import { nextStep } from '../../console/notices.ts'
import {
  EXIT,
  type Failure,
  failureOf,
  json,
  paint,
  printable,
  table,
} from '../../console/output.ts'
import { connectKms, type KmsClient, RpcError } from '../../grpc/client.ts'
import { reach } from '../../grpc/reach.ts'
import type { StatusDocument } from '../../observe/status_document.ts'
import { readableSigner, type SignerReport } from './signer_report.ts'
import { fetchStatusz, readableStatusz } from './statusz.ts'

interface StatusOptions {
  readonly socketPath: string
  readonly timeoutMs: number
  readonly json: boolean
  /** Asks only whether the process answers, whatever the answer is. */
  readonly live?: boolean
}

type Answer<T> = ({ readonly latencyMs: number } & T) | { readonly error: Failure }

interface V2Status {
  readonly version: string
  readonly healthz: string
  readonly keyId: string
}

interface Report {
  readonly socket: string
  readonly healthy: boolean
  /** The first problem. */
  readonly problem: string | undefined
  readonly v2: Answer<V2Status & { readonly keyIdHash: string }>
  readonly v1beta1: Answer<{ version: string; runtimeName: string; runtimeVersion: string }>
}

const UNIMPLEMENTED = 'UNIMPLEMENTED'
const NO_ANSWER = 'DEADLINE_EXCEEDED'

interface ConfigStatusOptions extends Omit<StatusOptions, 'socketPath'> {
  readonly configPath: string
}

/**
 * The status of the plugin that a config is about: every socket, and what the plugin says of its
 * providers where the config has an admin server. What answers is shown even where something else
 * does not.
 *
 * @throws ConfigError, or KmsError when nothing can be reached
 */
export async function statusOfConfig(options: ConfigStatusOptions, io: Io): Promise<number> {
  const config = await loadConfig(options.configPath)
  const reports: (Report | Unreached)[] = []
  const failures: unknown[] = []
  const unreached = (socket: string) => (error: unknown) => {
    failures.push(error)
    return { socket, healthy: false as const, error: failureOf(error) }
  }
  for (const { socket } of endpointsOf(config)) {
    const report = reportOf({ ...options, socketPath: socket.path })
    reports.push(await report.catch(unreached(socket.path)))
  }
  const signer = await signerOf(config, options, unreached)
  const statusz = await insideOf(config, options).catch((error: unknown) => {
    failures.push(error)
    return null
  })
  const [failure] = failures
  const isSilent = !statusz && reports.every((report) => 'error' in report)
  if (isSilent) throw failure
  const error = failure === undefined ? undefined : failureOf(failure)
  io.out(
    options.json
      ? jsonText({ sockets: reports, signer, statusz: statusz ?? undefined, error })
      : fitted(readableAll(reports, signer, statusz, io), io),
  )
  if (failure !== undefined) throw failure
  if (![...reports, ...(signer === undefined ? [] : [signer])].every(({ healthy }) => healthy)) {
    return EXIT.unhealthy
  }
  nextStep(options, `trousseau doctor --config ${options.configPath}`, io)
  return EXIT.ok
}

/** One of several sockets, on which nothing answers. */
interface Unreached {
  readonly socket: string
  readonly healthy: false
  readonly error: Failure
}

/** @param unreached makes the report where nobody listens */
async function signerOf(
  { signer }: Config,
  { timeoutMs }: ConfigStatusOptions,
  unreached: (socket: string) => (error: unknown) => Unreached,
): Promise<SignerReport | undefined> {
  if (signer === undefined) return undefined
  const socketPath = signer.socket.path
  const { signerReport } = await import('./signer.ts')
  return await signerReport({ socketPath, timeoutMs }).catch(unreached(socketPath))
}

async function insideOf({ admin }: Config, { timeoutMs }: ConfigStatusOptions) {
  return admin === undefined ? undefined : await fetchStatusz(admin.listen, timeoutMs)
}

/** @param statusz null where it was asked for, and there was no answer */
function readableAll(
  reports: readonly (Report | Unreached)[],
  signer: SignerReport | undefined,
  statusz: StatusDocument | null | undefined,
  io: Io,
): string {
  const sockets = [
    ...reports.map((report) => readable(report, io)),
    ...(signer === undefined ? [] : [readableSigner(signer, io)]),
  ].join('\n')
  if (statusz === null) return sockets
  return (
    sockets + (statusz === undefined ? NO_ADMIN : `\n${readableStatusz(statusz, Date.now(), io)}`)
  )
}

const NO_ADMIN = 'The config has no admin.listen: nobody can be asked about the providers.\n'

/** @throws KmsError when the plugin cannot be reached */
export async function status(options: StatusOptions, io: Io): Promise<number> {
  const report = await reportOf(options)
  io.out(options.json ? json(report) : fitted(readable(report, io), io))
  if (!(options.live === true ? isLive(report) : report.healthy)) return EXIT.unhealthy
  nextStep(options, `trousseau check --socket ${options.socketPath}`, io)
  return EXIT.ok
}

/**
 * A process that hangs accepts a connection and answers nothing. A plugin whose key service hangs
 * may answer its Status with that very code, but never its Version.
 */
function isLive({ v2, v1beta1 }: Report): boolean {
  return [v2, v1beta1].some((answer) => !('error' in answer && answer.error.code === NO_ANSWER))
}

/** @throws KmsError when the plugin cannot be reached */
export async function reportOf(
  options: Pick<StatusOptions, 'socketPath' | 'timeoutMs'>,
): Promise<Report> {
  await reach(options.socketPath, options.timeoutMs)
  const client = connectKms(options.socketPath, options)
  try {
    return await ask(client, options.socketPath)
  } finally {
    client.close()
  }
}

async function ask(client: KmsClient, socket: string): Promise<Report> {
  const v2 = await timed(async () => {
    const { version, healthz, keyId } = await client.v2.status()
    return { version, healthz, keyId, keyIdHash: keyIdHash(keyId) }
  })
  const v1beta1 = await timed(async () => {
    const { version, runtimeName, runtimeVersion } = await client.v1.version()
    return { version, runtimeName, runtimeVersion }
  })
  const problem = problemOf({ v2, v1beta1 })
  return { socket, healthy: problem === undefined, problem, v2, v1beta1 }
}

async function timed<T extends object>(run: () => Promise<T>): Promise<Answer<T>> {
  try {
    // The first call includes the time to connect, so it is not measured.
    await run()
    const start = performance.now()
    const answer = await run()
    return { ...answer, latencyMs: Math.round((performance.now() - start) * 100) / 100 }
  } catch (error) {
    if (error instanceof RpcError) return { error: { code: error.status, message: error.message } }
    return { error: { code: 'INTERNAL', message: 'The answer is not a message of this API' } }
  }
}

/** A plugin that serves v1beta1 alone is judged by its Version. */
function problemOf({ v2, v1beta1 }: Pick<Report, 'v2' | 'v1beta1'>): string | undefined {
  if (!('error' in v2)) return v2Problem(v2)
  if (v2.error.code !== UNIMPLEMENTED) return `Status answered ${said(v2.error)}`
  if ('error' in v1beta1) return `Version answered ${said(v1beta1.error)}`
  return v1beta1.version === 'v1beta1' ? undefined : 'the v1beta1 version is not v1beta1 (rule V1)'
}

/** The checks of kube-apiserver (rules S2, S4, S7). */
function v2Problem({ version, healthz, keyId }: V2Status): string | undefined {
  if (healthz !== 'ok') return `healthz is not "ok": ${printable(healthz)}`
  if (version !== 'v2' && version !== 'v2beta1') return 'the version is not v2 (rule S2)'
  const bytes = new TextEncoder().encode(keyId).length
  if (bytes > 0 && bytes <= MAX_KEY_ID_BYTES) return undefined
  return `the key id has ${bytes} bytes: kube-apiserver takes 1 to ${MAX_KEY_ID_BYTES} (rule S7)`
}

function readable(report: Report | Unreached, io: Io): string {
  const { socket } = report
  const problem = 'error' in report ? report.error.message : report.problem
  const health = problem === undefined ? paint(io, 'green', 'ok') : paint(io, 'red', problem)
  const answers = 'error' in report ? [] : [...v2Rows(report.v2), v1Row(report.v1beta1)]
  const rows = [['socket', socket], ['health', health], ...answers]
  return `${table(rows)
    .map((row) => row.join('  '))
    .join('\n')}\n`
}

function v2Rows(v2: Report['v2']): string[][] {
  if ('error' in v2) return [['v2', absence(v2.error)]]
  return [
    ['v2', `${printable(v2.version)}, answered in ${v2.latencyMs} ms`],
    ['key id', printable(v2.keyId)],
    ['key id hash', `${v2.keyIdHash} (as in kube-apiserver's metrics)`],
  ]
}

function v1Row(v1beta1: Report['v1beta1']): string[] {
  if ('error' in v1beta1) return ['v1beta1', absence(v1beta1.error)]
  const { version, runtimeName, runtimeVersion, latencyMs } = v1beta1
  const runtime = printable(`${runtimeName} ${runtimeVersion}`.trim())
  return ['v1beta1', `${printable(version)} by ${runtime}, answered in ${latencyMs} ms`]
}

function absence(error: Failure): string {
  return error.code === UNIMPLEMENTED ? 'not served' : said(error)
}

function said({ code, message }: Failure): string {
  return `${code}: ${printable(message)}`
}
